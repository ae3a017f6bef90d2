"""What `sprint serve` costs while a run is watched: by one, by many. It is a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from sprint import progress, transcript
from sprint.runs import RunStore
from tests.monitor.sample import a_month
from tests.serve.serving import a_configuration

SECONDS = 30.0
_PAUSE = 0.5
_LAST = b"the last of it"


def bench(scratch: Path) -> Iterator[str]:
    for viewers in (0, 1, 200):
        root = scratch / str(viewers)
        root.mkdir()
        a_month(root / "results")
        yield _watched(root, viewers)


def _watched(root: Path, viewers: int) -> str:
    argv = [sys.executable, "-m", "sprint", "--config", str(a_configuration(root)), "serve", "--port", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        said = re.search(r":([0-9]+)/", server.stdout.readline())
        assert said is not None
        try:
            return asyncio.run(_measured(root / "results", int(said[1]), server.pid, viewers))
        finally:
            server.terminate()


async def _measured(results: Path, port: int, pid: int, viewers: int) -> str:
    (run_id,) = RunStore(results).active_ids()
    watching = [asyncio.create_task(_watch(port, run_id)) for _ in range(viewers)]
    await asyncio.sleep(4 * _PAUSE)
    before, started = cpu(pid), time.perf_counter()
    writes = await asyncio.to_thread(_run, RunStore(results).folder(run_id))
    await asyncio.gather(*watching)
    took, wall = cpu(pid) - before, time.perf_counter() - started
    share = f"{100 * took / wall:.1f} % of one processor"
    said = f"{viewers} viewers: {took:.2f} s CPU in {wall:.0f} s ({share}), {peak_mb(pid):.0f} MB peak"
    return f"{said}; the run waited {1000 * writes:.0f} ms for what it wrote"


def _run(folder: Path) -> float:
    """What a busy run writes: a line of output twice a second, a turn every two seconds; how long it took."""
    wrote = 0.0
    usage = {"prompt_tokens": 1000, "completion_tokens": 50, "cost_usd": 0.01}
    calls = [{"id": "1", "name": "bash", "arguments": '{"command": "make"}'}]
    for step in range(int(SECONDS / _PAUSE)):
        started = time.perf_counter()
        progress.append(folder, "output", text=f"{step} passed")
        if step % 4 == 0:
            transcript.append(
                folder, "assistant", turn=step, content="x" * 500, tool_calls=calls, usage=usage
            )
            transcript.append(folder, "tool", turn=step, id="1", text="a line\n" * 200, exit_code=0)
        wrote += time.perf_counter() - started
        time.sleep(_PAUSE)
    transcript.append(folder, "note", text=_LAST.decode())
    return wrote


async def _watch(port: int, run_id: str) -> None:
    """Until the last of it has come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /runs/{run_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await reader.readuntil(_LAST)
    writer.close()


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> float:
    peak = re.search(r"VmHWM:\s+([0-9]+)", Path(f"/proc/{pid}/status").read_text())
    assert peak is not None
    return int(peak[1]) / 1024
