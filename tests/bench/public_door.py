"""What a sprite's way to its model costs more by `sprint serve --public`, which is a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sprint import json_file
from sprint.domain import Phase
from sprint.gateway import Door, opened
from sprint.gateway.exchange import Exchange
from sprint.gateway.own_process import FOLDER, KEY, SOCKET
from sprint.runs import RunStore
from tests.bench.viewers import cpu
from tests.serve.serving import a_configuration
from tests.some_run import a_run

REQUESTS = 300
KILOBYTES = 100  # of one request: an agent's conversation after some turns
_KEY = "run-of-the-bench"


class _Answer:
    def serve(self, exchange: Exchange) -> None:
        exchange.body(1_000_000)
        exchange.answer(200, b"{}", {"content-type": "application/json"})


def bench(scratch: Path) -> Iterator[str]:
    store, run = RunStore(scratch / "results"), a_run(phase=Phase.WORKING)
    folder = store.create(run)
    argv = [sys.executable, "-m", "sprint", "--config", str(a_configuration(scratch)), "serve", "--port", "0"]
    with (
        opened(folder, {"model": Door(_Answer(), {}, {})}, name=FOLDER),
        subprocess.Popen([*argv, "--public", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True) as server,
    ):
        json_file.write(folder / FOLDER / KEY, {"key": _KEY, "model": "m"})
        try:
            assert server.stdout is not None
            server.stdout.readline()
            said = re.search(r":([0-9]+)", server.stdout.readline())
            assert said is not None
            port = int(said[1])
            through = [_median(lambda: _over_tcp(port), f"/gateway/{run.id}/v1/messages") for _ in range(3)]
            used = cpu(server.pid)
            through.append(_median(lambda: _over_tcp(port), f"/gateway/{run.id}/v1/messages"))
            used = cpu(server.pid) - used
            alive = _median(lambda: _over_tcp(port), "/healthz", method="GET")
            direct = [_median(lambda: _over_unix(folder / FOLDER), "/v1/messages") for _ in range(4)]
        finally:
            server.terminate()
        more = 1000 * (min(through) - min(direct))
        said = f"a request of {KILOBYTES} kB through /gateway/RUN: {1000 * min(through):.2f} ms"
        said += f", {more:.2f} ms more than at the gateway itself"
        yield f"{said}; {1000 * used / REQUESTS:.2f} ms CPU of serve; /healthz {1000 * alive:.2f} ms"


def _median(connect: Callable[[], http.client.HTTPConnection], path: str, method: str = "POST") -> float:
    body = b"x" * (1000 * KILOBYTES) if method == "POST" else None
    headers, took = {"Authorization": f"Bearer {_KEY}"}, []
    with contextlib.closing(connect()) as connection:
        for _ in range(REQUESTS):
            started = time.perf_counter()
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
            took.append(time.perf_counter() - started)
    return statistics.median(took)


def _over_tcp(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=60)


def _over_unix(folder: Path) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("gateway", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX)
    descriptor = os.open(folder, os.O_RDONLY)
    connection.sock.connect(f"/proc/self/fd/{descriptor}/{SOCKET}")
    os.close(descriptor)
    return connection
