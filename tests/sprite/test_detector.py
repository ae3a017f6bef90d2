"""The detector: what it tells and stops, and what good agents do without being told anything."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from itertools import cycle, islice
from pathlib import Path

import pytest

from sprint.sprite import detector
from sprint.sprite.detector import Advice, Detector, Event, Silence


def call(what: str, result: str = "ok", **more: str) -> Event:
    return Event("call", call=what, result=result, **more)


def failing(what: str, said: str, result: str = "") -> Event:
    return call(what, result or said, failure=f"1 {said}")


def edit(path: str, number: int, **more: str) -> Event:
    return call(f"edit {path} {number}", f"edited at {number}", path=path, **more)


def fed(events: Iterable[Event], silence: Silence | None = None) -> list[Advice]:
    """What was said of each event, up to a stop."""
    watched, said = Detector(silence), []
    for event in events:
        said.append(watched.saw(event))
        if said[-1].stop:
            break
    return said


def stopped_at(events: Iterable[Event]) -> tuple[int, str]:
    said = fed(events)
    return len(said), said[-1].stop


def told_at(events: Iterable[Event]) -> list[int]:
    return [number for number, advice in enumerate(fed(events), 1) if advice.note]


# --- the same call --------------------------------------------------------------------------------


def test_the_same_call_with_the_same_result() -> None:
    events = [call("date", f"12:00:{n:02} 0x{n:x}") for n in range(9)]
    assert told_at(events) == [3, 4]
    assert stopped_at(events) == (5, "the same call with the same result 5 times in a row")


@pytest.mark.parametrize("period", [2, 3, 4])
def test_going_round_in_larger_circles(period: int) -> None:
    events = list(islice(cycle([call(f"echo {n}") for n in "abcd"[:period]]), 40))
    assert stopped_at(events) == (
        5 * period,
        f"the same {period} calls with the same result 5 times in a row",
    )


def test_the_same_call_with_another_result_is_no_circle() -> None:
    assert not any(a.stop or a.note for a in fed(call("make", "x" * n) for n in range(40)))


# --- the same error --------------------------------------------------------------------------------


def test_the_same_error_in_other_words_each_time() -> None:
    events = [
        call(f"edit {n}", "", mistake=f"no such text (request 00{n}abcdef1, at 12:0{n})") for n in range(9)
    ]
    assert told_at(events) == [4]
    count, why = stopped_at(events)
    assert count == 6
    assert why.startswith("the same mistake 6 times: no such text")


def test_reading_between_two_mistakes_is_no_progress() -> None:
    def events() -> Iterable[Event]:
        for n in range(30):
            yield call(f"edit try {n}", "", mistake="old is not in a.py")
            yield call("read a.py", f"content seen {'again ' * n}")

    assert stopped_at(events())[0] == 13, "the sixth mistake after the first reading"


def test_the_same_failure_of_commands() -> None:
    events = [failing(f"pytest test_{'x' * n}", "No module named pytest") for n in range(20)]
    assert told_at(events) == [6]
    assert stopped_at(events)[0] == 10


def test_errors_far_apart_have_another_cause() -> None:
    def events() -> Iterable[Event]:
        for n in range(12):
            yield failing(f"pytest {'x' * n}", "1 failed")
            yield from (call("ls", "y" * (n + m)) for m in range(4))

    assert not stopped_at(events())[1]


@pytest.mark.parametrize(
    "progress", [Event("progress"), edit("a.py", 1), call("grep -n new"), call("git commit")]
)
def test_progress_begins_the_count_anew(progress: Event) -> None:
    same = [failing("pytest " + "x" * n, "1 failed") for n in range(9)]
    assert not any(advice.stop for advice in fed([*same, progress, *same]))


def test_a_heartbeat_is_no_progress() -> None:
    events = [e for n in range(20) for e in (failing("pytest " + "x" * n, "1 failed"), Event("heartbeat"))]
    assert stopped_at(events)[1].startswith("commands failed alike 10 times")


# --- churn, retries ---------------------------------------------------------------------------------


def test_one_file_edited_again_and_again() -> None:
    events = [edit("src/a.py", n) for n in range(50)]
    assert told_at(events) == [15]
    assert stopped_at(events) == (30, "src/a.py was edited 30 times, and no command went well in between")


def test_edits_with_a_command_in_between_that_goes_well_are_work() -> None:
    events = [
        e for n in range(60) for e in (edit("src/a.py", n), *([call("pytest", f"{n}")] if n % 9 == 8 else ()))
    ]
    assert not any(advice.note or advice.stop for advice in fed(events))


def test_many_files_are_no_churn() -> None:
    assert not any(a.note or a.stop for a in fed(edit(f"src/{n % 5}.py", n) for n in range(70)))


def test_a_server_that_is_asked_again_and_again() -> None:
    assert told_at([Event("retry")] * 9) == [5]
    assert stopped_at([Event("retry")] * 30) == (
        12,
        "the model's server was asked 12 times for one answer",
    )
    between = [Event("retry")] * 11 + [Event("text")]
    assert not any(advice.stop for advice in fed(between * 5))
    assert fed([Event("retry"), Event("heartbeat")] * 12)[-1].stop


# --- silence -----------------------------------------------------------------------------------------


def test_silence_is_told_once_and_then_stops() -> None:
    watched = Detector(Silence(warn=45, stop=300), began=1000.0)
    assert watched.quiet(1044) == Advice()
    assert watched.quiet(1046).note == "nothing was done or said for 46 s"
    assert watched.quiet(1100) == Advice()
    assert watched.quiet(1300).stop == "nothing was done or said for 300 s"


@pytest.mark.parametrize(
    ("event", "is_sign"),
    [("text", True), ("call", True), ("progress", True), ("retry", False), ("heartbeat", False)],
)
def test_what_is_a_sign_of_work(event: str, is_sign: bool) -> None:
    watched = Detector(Silence(warn=45, stop=300))
    watched.saw(Event(event, at=290.0))
    assert bool(watched.quiet(310).stop) is not is_sign


def test_a_call_that_takes_its_time_is_waited_for() -> None:
    watched = Detector(Silence(warn=45, stop=300, in_call=900))
    watched.saw(Event("began", at=10.0, call="make test"))
    assert watched.quiet(800) == Advice()
    assert watched.quiet(910).stop == "a call that does not end for 900 s"
    watched.saw(call("make test", at=850.0))  # type: ignore[arg-type]
    assert watched.quiet(900).note
    assert watched.quiet(1150).stop


def test_without_limits_silence_is_nothing() -> None:
    assert Detector().quiet(1e9) == Advice()


# --- good agents ---------------------------------------------------------------------------------------


def bash_only() -> Iterable[Event]:
    """As agents with a shell alone work: the same failure for long, edits by sed and here-documents."""
    for n in range(8):
        yield call(f"grep -rn 'def f{n}' src | head", f"src/{n}.py:1: def")
    for n in range(18):
        yield call(f"sed -n '{n * 10},{n * 10 + 40}p' src/a.py", "...")
        yield call(f"cat > repro.py <<'E'\nprint({n})\nE", "")
        yield failing("python3 repro.py", "ValueError: bad input", f"{n} Traceback")
        yield call(f"sed -i 's/{n}/x/' src/a.py", "")
    yield call("python3 repro.py", "fixed")
    yield failing("python3 -m pytest", "1 failed, 90 passed in 3.2s")
    yield call("git diff", "+ x")


def red_green() -> Iterable[Event]:
    """A test first, the same suite failing 14 times while one file grows."""
    for n in range(14):
        yield edit("src/parser.py", n)
        yield failing("pytest -q", f"{n} failed in 0.0{n}s")
        yield call("git diff --stat", f" src/parser.py | {n} +")
    yield call("pytest -q", "14 passed")


def without_python() -> Iterable[Event]:
    """Learns at the third time that there is no `python`."""
    for n in range(3):
        yield failing(f"python test_{n}.py", "sh: python: not found")
    yield from (call(f"python3 test_{n}.py", f"{n}") for n in range(30))


def with_an_overloaded_server() -> Iterable[Event]:
    for n in range(20):
        yield from [Event("retry")] * (n % 5)
        yield Event("text")
        yield call(f"step {n}")


def waits_for_a_server() -> Iterable[Event]:
    """Polls something slow, with other words each time."""
    for n in range(20):
        yield call("curl -s localhost:8000 || sleep 1", "x" * n)


@pytest.mark.parametrize(
    "run", [bash_only, red_green, without_python, with_an_overloaded_server, waits_for_a_server]
)
def test_good_agents_are_not_stopped(run: object) -> None:
    said = fed(run())  # type: ignore[operator]
    assert not any(advice.stop for advice in said)
    assert sum(bool(advice.note) for advice in said) <= 1


# --- a file by itself -------------------------------------------------------------------------------


def test_it_runs_alone_where_nothing_is_installed(tmp_path: Path) -> None:
    alone = tmp_path / "detector.py"
    alone.write_bytes(Path(detector.__file__).read_bytes())
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import detector as d\n"
        "w = d.Detector(d.Silence(), began=0.0)\n"
        "print([w.saw(d.Event(**{'kind': 'call', 'call': 'x'})).stop for _ in range(5)][-1])\n"
        "print(any(name.startswith('sprint') for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "the same call with the same result 5 times in a row\nFalse\n"
