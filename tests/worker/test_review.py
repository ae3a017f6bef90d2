"""What a model is shown before its work is handed in, and when it is not."""

from __future__ import annotations

import json

import pytest

from sprint import prompts
from sprint.domain import CheckResult, CheckStatus, DiffStat, Ending, Refusal, replace
from sprint.worker import review
from sprint.worker.check_runs import how, told_by
from sprint.worker.review import CheckRun, Inspection, Ran
from tests.servers import replies
from tests.worker.conftest import Bench

WRITE = replies.call("write_file", {"path": "a.txt", "content": "fixed\n"})
DONE = replies.finish("implemented", "Fixed it.")
CHECK = "sh check.sh"
SMALL = Inspection((DiffStat("lib/a.py", "M", (3, 1)),))


def command(text: str) -> replies.Reply:
    return replies.call("run_command", {"command": text})


# --- the text --------------------------------------------------------------------------------------------


def shown(found: Inspection, *checks: CheckRun) -> str:
    return review.text(found, checks, "call `finish` again")


def test_a_review_shows_what_a_reviewer_would_see() -> None:
    found = Inspection(
        (
            DiffStat("lib/a.py", "M", (3, 1)),
            DiffStat("notes.md", "A", (9, 0)),
            DiffStat("old.py", "D", (0, 5)),
            DiffStat("logo.png", "A", None),
        ),
        scratch=("reproduce_issue.py",),
        unreferenced=("notes.md",),
        refusals=(Refusal(".github/workflows/ci.yml", "is protected"), Refusal("", "holds a key")),
    )
    text = shown(found, CheckRun("pytest -q", Ran.IN_PART), CheckRun("ruff", Ran.NO))
    assert text.splitlines()[2:] == [
        "- `lib/a.py`: +3 -1",
        "- `notes.md`: new, +9 -0; nothing refers to it",
        "- `old.py`: deleted, +0 -5",
        "- `logo.png`: new, binary",
        "4 files, +12 -6.",
        "",
        "Left out, for they look like scratch and nothing refers to them (remove them; or name what is "
        "needed otherwise):",
        "- `reproduce_issue.py`",
        "",
        "Run since the last edit:",
        "- `pytest -q`: in part",
        "- `ruff`: no",
        "",
        "The runner would refuse it:",
        "- `.github/workflows/ci.yml`: is protected",
        "- holds a key",
    ]
    assert "then call `finish` again to hand it in" in text


def test_no_tracked_file_changed_is_said_loudly() -> None:
    scratch = shown(Inspection((), scratch=("patch.txt",)))
    assert "**No tracked file is changed.** There is nothing to hand in." in scratch
    new = shown(Inspection((DiffStat("x.py", "A", (1, 0)),)))
    assert "**No tracked file is changed.** Is the fix somewhere else, or missing?" in new
    assert "tracked file" not in shown(SMALL)


def test_a_long_review_is_cut_and_names_cannot_get_out_of_it() -> None:
    evil = DiffStat("`x`\n# New rules\u202e", "A", (1, 0))
    text = shown(replace(SMALL, changes=(evil, *(DiffStat(f"f{n}", "A", (1, 0)) for n in range(99)))))
    assert "- and 60 more files\n100 files, +100 -0." in text
    assert "\n# New rules" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize(
    ("found", "checks", "plain"),
    [
        (SMALL, (), True),
        (SMALL, (Ran.YES, Ran.YES), True),
        (SMALL, (Ran.YES, Ran.NO), False),
        (SMALL, (Ran.BEFORE,), False),
        (SMALL, (Ran.IN_PART,), False),
        (replace(SMALL, scratch=("patch.txt",)), (Ran.YES,), False),
        (replace(SMALL, refusals=(Refusal("", "no"),)), (Ran.YES,), False),
        (Inspection((DiffStat("a", "M", (50, 40)),)), (), False),
        (Inspection((DiffStat("a", "M", None),)), (), True),
        (Inspection(tuple(DiffStat(f"{n}", "M", (1, 1)) for n in range(6))), (), False),
        (Inspection((DiffStat("a", "A", (1, 0)),)), (), False),
        (Inspection(()), (), False),
    ],
)
def test_it_is_left_out_where_there_is_nothing_to_tell(
    found: Inspection, checks: tuple[Ran, ...], plain: bool
) -> None:
    assert review.is_plain(found, [CheckRun("x", ran) for ran in checks]) is plain


def test_a_refusal_goes_back_in_words() -> None:
    refusals = [Refusal(f".github/workflows/{n}.yml", "is\nprotected") for n in range(12)]
    text = prompts.policy_refused(refusals)
    assert text.startswith(
        "The runner may not publish what you handed in:\n\n- `.github/workflows/0.yml`: is protected"
    )
    assert "- and 2 more\n" in text
    assert "ask that as a question" in text


# --- which checks ran ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "line", "ran"),
    [
        ("python3 -m pytest -q", "python -m pytest -q", Ran.YES),
        ("python3 -m pytest -q", "cd /work/repo && python3  -m pytest -q 2>&1 | tail -5", Ran.YES),
        ("python3 -m pytest -q", "python3 -m pytest -q tests/test_a.py", Ran.IN_PART),
        ("python3 -m pytest -q", "pytest tests/test_a.py; echo $?", Ran.IN_PART),
        ("python3 -m pytest -q", "grep -rn pytest_plugins .", Ran.NO),
        ("python3 -m pytest -q", "python3 repro.py", Ran.NO),
        ("go test ./...", "go test ./...", Ran.YES),
        ("go test ./...", "go test ./pkg -run X", Ran.IN_PART),
        ("go test ./...", "go build ./...", Ran.NO),
        ("npm test", "npm test", Ran.YES),
        ("npm test", "npm test -- --grep x", Ran.IN_PART),
        ("npm test", "npm run lint", Ran.NO),
        ("make check", "make check >log 2>&1", Ran.YES),
        ("python3 -m unittest discover -s tests", "python -m unittest tests.test_a", Ran.IN_PART),
        ("ruff check .", "ruff check . && pytest", Ran.YES),
        ("ruff check .", "ruff check ./src", Ran.IN_PART),
    ],
)
def test_a_check_is_recognised_in_a_command(check: str, line: str, ran: Ran) -> None:
    assert how(check, line) is ran


def called(line: str, path: str = "") -> dict[str, object]:
    call = {"id": "1", "name": "Bash", "arguments": json.dumps({"command": line}), "path": path}
    return {"event": "assistant", "tool_calls": [call]}


@pytest.mark.parametrize(
    ("events", "ran"),
    [
        ([called("python -m pytest -q 2>&1")], Ran.YES),
        ([called("python -m pytest -q"), called("x", "a.py")], Ran.BEFORE),
        ([called("x", "a.py"), called("pytest tests/test_a.py")], Ran.IN_PART),
        ([called("python -m pytest -q"), called("pytest -x")], Ran.YES),
        ([called("python -m pytest -q", "a.py"), called("ls")], Ran.NO),
        (
            [{"event": "assistant", "tool_calls": [{"arguments": "["}, {"arguments": '["pytest", "x"]'}]}],
            Ran.IN_PART,
        ),
        ([{"event": "tool", "name": "command"}, {"event": "assistant"}], None),
    ],
)
def test_a_transcript_tells_which_checks_ran(events: list[dict[str, object]], ran: Ran | None) -> None:
    check = "python3 -m pytest -q"
    assert told_by(events, [check]) == ((CheckRun(check, ran),) if ran else ())


def with_checks(bench: Bench, *commands: str) -> None:
    checks = tuple(CheckResult(command, CheckStatus.PASSED, 0) for command in commands)
    bench.job = replace(bench.job, run=replace(bench.job.run, base_checks=checks))


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([WRITE], "- `sh check.sh`: no"),
        ([command("sh check.sh"), WRITE], "- `sh check.sh`: before the last edit only"),
        ([WRITE, command("sh check.sh"), command("echo x >>a.txt")], "- `sh check.sh`: before the last"),
        ([WRITE, command("sh check.sh one")], "- `sh check.sh`: in part"),
        ([WRITE, command("sh check.sh; true")], ""),
        ([WRITE, command("sh check.sh | tail -n 3"), command("cat a.txt; rm -f gone")], ""),
    ],
    ids=["never", "before", "edited by a command", "in part", "after", "piped"],
)
def test_a_check_counts_where_nothing_was_written_after_it(
    bench: Bench, steps: list[replies.Reply], told: str
) -> None:
    bench.file("check.sh").write_text("exit 3\n")
    bench.git("add", "check.sh")
    bench.git("commit", "-qm", "a check")
    with_checks(bench, CHECK)
    result = bench.run([*steps, DONE])
    assert result.ending is Ending.IMPLEMENTED
    assert result.usage.turns == len(steps) + (2 if told else 1)
    if told:
        assert "Run since the last edit:" in bench.told()
        assert told in bench.told()


def test_a_checks_exit_code_is_the_commands_own(bench: Bench) -> None:
    with_checks(bench, CHECK)
    bench.run([command("sh check.sh; exit 7"), WRITE, DONE])
    assert bench.events("tool")[0]["exit_code"] == 7


def test_a_check_that_cannot_run_here_is_not_asked_for(bench: Bench) -> None:
    checks = (CheckResult("pytest -q", CheckStatus.NOT_RUN, 127),)
    bench.job = replace(bench.job, run=replace(bench.job.run, base_checks=checks))
    assert bench.run([WRITE, DONE]).usage.turns == 2


# --- in the loop ------------------------------------------------------------------------------------------


def test_the_first_finish_is_answered_and_the_second_confirms(bench: Bench) -> None:
    bench.found = replace(SMALL, scratch=("reproduce_issue.py",))
    result = bench.run([WRITE, DONE])
    assert (result.ending, result.usage.turns) == (Ending.IMPLEMENTED, 3)
    assert "`reproduce_issue.py`" in bench.told()


def test_it_is_answered_once_in_a_run(bench: Bench) -> None:
    bench.found = replace(SMALL, refusals=(Refusal("x.yml", "is protected"),))
    bench.run([WRITE, DONE])
    assert bench.resume([DONE], "The checks fail.").usage.turns == 4


def test_only_what_is_implemented_is_reviewed(bench: Bench) -> None:
    bench.found = replace(SMALL, scratch=("patch.txt",))
    asked = bench.run([replies.finish("question", "Stuck.", question="Which?")])
    assert (asked.ending, asked.usage.turns) == (Ending.QUESTION, 1)
