"""Reading into types from several threads."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# Types that nobody has read into before, and six threads that all begin with the same one.
_RACE = """
import sys, threading
from typing import Any
import msgspec
from sprint import decoding

sys.setswitchinterval(1e-6)
read = {"ours": decoding.convert, "bare": msgspec.convert}[sys.argv[1]]

def together(kind: Any, value: object) -> None:
    barrier = threading.Barrier(6)
    def begin() -> None:
        barrier.wait()
        assert read(value, kind).own.own.text == "so"
    threads = [threading.Thread(target=begin) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

for number in range(300):
    deep = msgspec.defstruct(f"Deep{number}", [("text", str)] + [(f"n{i}", int, 0) for i in range(20)])
    inner = msgspec.defstruct(f"Inner{number}", [("own", deep)])
    together(msgspec.defstruct(f"Outer{number}", [("own", inner)]), {"own": {"own": {"text": "so"}}})
"""


def run(how: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", _RACE, how], timeout=120, stderr=subprocess.DEVNULL
    ).returncode


def test_threads_that_meet_a_type_for_the_first_time_all_read_it() -> None:
    assert run("ours") == 0


def test_nobody_reads_into_a_type_without_it() -> None:
    bare = re.compile(r"msgspec\.convert\(|msgspec\.json\.decode\([^\n]*type=|json\.Decoder\(")
    package = Path(__file__).parent.parent / "sprint"
    assert {path.name for path in package.rglob("*.py") if bare.search(path.read_text())} == {"decoding.py"}
