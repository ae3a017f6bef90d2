"""What the gateway's way to a model costs an agent: its answer, its first byte, and 50 streams at once."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from sprint import sandbox
from sprint.budget import Budget
from sprint.config import Limits, SandboxConfig
from sprint.domain import Endpoint, Secret
from sprint.gateway import Door, Gateway, opened
from sprint.gateway.models.route import ModelRoute
from sprint.gateway.models.used import Tally
from sprint.sandbox import Command
from tests.bench import measure

REQUESTS = 200
KILOBYTES = 100  # of one request: an agent's conversation after some turns
STREAMS = 50
EVENTS = 50
TIMES = 3
# It answers at once; a stream's events come EVERY seconds apart.
_SERVE = """
import asyncio, json, sys
EVENTS, EVERY = int(sys.argv[1]), 0.02
OK = b"HTTP/1.1 200 OK\\r\\nContent-Type: "
def chunk(**more):
    return b"data: " + json.dumps({"object": "chat.completion.chunk", **more}).encode() + b"\\n\\n"
PIECE = chunk(choices=[{"index": 0, "delta": {"content": "a few words more "}}])
LAST = chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = chunk(choices=[], usage={"prompt_tokens": 25000, "completion_tokens": 50})
WHOLE = json.dumps({"choices": [{"index": 0, "message": {"content": "yes"}, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 25000, "completion_tokens": 1}}).encode()
async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            lengths = [l for l in head.lower().split(b"\\r\\n") if l.startswith(b"content-length:")]
            body = json.loads(await reader.readexactly(int(lengths[0].split(b":")[1])))
            if not body.get("stream"):
                writer.write(OK + b"application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(WHOLE))
                writer.write(WHOLE)
                continue
            writer.write(OK + b"text/event-stream\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
            for piece in [*[PIECE] * EVENTS, LAST, USAGE, b"data: [DONE]\\n\\n"]:
                writer.write(b"%x\\r\\n%s\\r\\n" % (len(piece), piece))
                await writer.drain()
                await asyncio.sleep(EVERY if piece is PIECE else 0)
            writer.write(b"0\\r\\n\\r\\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 24, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
_CLIENT = """
import http.client, json, statistics, sys, threading, time
port, key, size, count = int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
def ask(connection, stream):
    body = json.dumps({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "x" * size}]})
    started = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", body, {"Authorization": "Bearer " + key})
    response = connection.getresponse()
    assert response.status == 200, response.read()
    first = response.read1(1)
    at = time.perf_counter() - started
    rest = response.read()
    assert first and (not stream or rest.endswith(b"[DONE]\\n\\n")), rest[-100:]
    return at, time.perf_counter() - started
def connect():
    return http.client.HTTPConnection("127.0.0.1", port, timeout=60)
if sys.argv[1] == "asks":
    connection = connect()
    print(statistics.median(ask(connection, False)[1] for _ in range(count)))
elif sys.argv[1] == "first":
    connection = connect()
    print(statistics.median(ask(connection, True)[0] for _ in range(count)))
else:
    took = []
    threads = [threading.Thread(target=lambda: took.append(ask(connect(), True))) for _ in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert len(took) == count
    print(statistics.median(first for first, _ in took), max(whole for _, whole in took))
"""


def bench(scratch: Path) -> Iterator[str]:
    scratch.mkdir(mode=0o711)
    with _serving() as port, _gateway(scratch, port) as (gateway, route):
        space = measure.space(scratch / "space")

        def inside(what: str, count: int) -> list[float]:
            argv = ["python3", "-c", _CLIENT, what, str(gateway.ports["model"]), route.key]
            done = sandbox.make(SandboxConfig()).run(
                Command(
                    gateway.wrap([*argv, str(KILOBYTES * 1000), str(count)]),
                    timeout=300,
                    read_only=gateway.read_only,
                ),
                space,
            )
            assert done.ok, done.err
            return [float(one) for one in done.out.split()]

        def outside(what: str, count: int) -> list[float]:
            argv = [
                "/usr/bin/python3",
                "-c",
                _CLIENT,
                what,
                str(port),
                "any",
                str(KILOBYTES * 1000),
                str(count),
            ]
            done = subprocess.run(argv, capture_output=True, text=True, check=True)
            return [float(one) for one in done.stdout.split()]

        def both(what: str, count: int) -> tuple[list[float], list[float]]:
            pairs = [(outside(what, count), inside(what, count)) for _ in range(TIMES)]
            direct, through = zip(*pairs, strict=True)
            return (
                [statistics.median(values) for values in zip(*direct, strict=True)],
                [statistics.median(values) for values in zip(*through, strict=True)],
            )

        (direct,), (through,) = both("asks", REQUESTS)
        size = f"a request of {KILOBYTES} kB and a small answer"
        yield f"{size}, median of {REQUESTS}: {direct * 1e3:.2f} ms, {through * 1e3:.2f} ms through"
        yield f"added: {(through - direct) * 1e3:.2f} ms (aim: less than 5)"
        (direct,), (through,) = both("first", 5)
        yield f"first byte of a stream: {direct * 1e3:.2f} ms, {through * 1e3:.2f} ms through"
        (first, whole), (first_through, whole_through) = both("streams", STREAMS)
        yield f"{STREAMS} streams at once, first byte: {first * 1e3:.1f} ms, {first_through * 1e3:.1f} ms"
        yield f"the last one's end: {whole:.2f} s, {whole_through:.2f} s through"
        used = route.usage()
        assert used.prompt_tokens == used.turns * 25000, used
        yield f"{used.turns} answers counted, to the token"


@contextlib.contextmanager
def _serving() -> Iterator[int]:
    server = subprocess.Popen([sys.executable, "-c", _SERVE, str(EVENTS)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.wait()


@contextlib.contextmanager
def _gateway(scratch: Path, port: int) -> Iterator[tuple[Gateway, ModelRoute]]:
    folder = scratch / "run"
    folder.mkdir()
    limits = Limits(usd=None, usd_per_day=1e6)
    endpoint = Endpoint("m", f"http://127.0.0.1:{port}/v1", Secret("sk-of-the-bench"), 1.0, 0.1, 2.0)
    route = ModelRoute(
        "chat",
        [endpoint],
        tally=Tally(folder),
        budget=Budget(limits, scratch / "results", "r1"),
        limits=limits,
        results=scratch / "results",
        note=lambda text: None,
    )
    try:
        with opened(folder, {"model": Door(route, {}, {})}) as gateway:
            yield gateway, route
    finally:
        route.close()
