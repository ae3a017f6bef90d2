"""Checks run in the sandbox, and what is told of them."""

from __future__ import annotations

import pytest

from sprint import sandbox, verify
from sprint.domain import CheckResult, CheckStatus, Workspace
from tests.verify.conftest import BAD, GOOD, PYTEST, UNITTEST, run, write

PASSED, FAILED = CheckStatus.PASSED, CheckStatus.FAILED
TIMED_OUT, NOT_RUN = CheckStatus.TIMED_OUT, CheckStatus.NOT_RUN


@pytest.mark.usefixtures("has_pytest")
def test_a_real_pytest(box: sandbox.Sandbox, space: Workspace) -> None:
    write(space, {"test_a.py": GOOD + BAD})
    (result,) = run(box, space, PYTEST)
    assert (result.ran, result.failed) == (2, 1), result.tail
    assert (result.status, result.exit_code) == (FAILED, 1)
    assert result.failures == ("test_a.py::test_bad",)
    assert "\x1b" not in result.tail
    assert "red" in result.tail
    write(space, {"test_a.py": GOOD})
    (result,) = run(box, space, PYTEST)
    assert (result.status, result.failures, result.ran) == (PASSED, (), 1)
    (space.checkout / "test_a.py").unlink()
    (result,) = run(box, space, PYTEST)
    assert (result.status, result.note) == (NOT_RUN, "no tests were found")


def test_a_real_unittest(box: sandbox.Sandbox, space: Workspace) -> None:
    write(space, {"tests/test_a.py": UNITTEST + "    def test_two(self): self.fail()\n"})
    (result,) = run(box, space, "python3 -m unittest discover -s tests")
    assert (result.status, result.ran, result.failed) == (FAILED, 2, 1)
    assert result.failures == ("test_a.T.test_two",)
    write(space, {"tests/test_a.py": ""})
    (result,) = run(box, space, "python3 -m unittest discover -s tests")
    assert result.status is NOT_RUN


@pytest.mark.parametrize(
    "command", ["no-such-program", "./missing.sh", "make -s test", "python3 -m pytest_missing || exit 127"]
)
def test_a_missing_program_is_not_a_failure(box: sandbox.Sandbox, space: Workspace, command: str) -> None:
    write(space, {"Makefile": "test:\n\tno-such-runner --all\n"})
    (result,) = run(box, space, command)
    assert (result.status, result.note) == (NOT_RUN, "its program is not there")


def test_time_runs_out(box: sandbox.Sandbox, space: Workspace) -> None:
    slow, fine = run(box, space, "echo begun; sleep 60", "true", timeout=0.5)
    assert (slow.status, slow.exit_code, slow.tail) == (TIMED_OUT, None, "begun")
    assert fine.status is PASSED


def test_tails_are_short_and_clean(box: sandbox.Sandbox, space: Workspace) -> None:
    (result,) = run(
        box, space, "for i in $(seq 3000); do echo line $i; done; printf 'a\\rb\\033[1mc\\007\\n'; false"
    )
    assert len(result.tail) < 4_100
    assert result.tail.startswith("[...]\nline ")
    assert result.tail.endswith("line 3000\nbc")


def test_setup_stops_at_the_first_failure(box: sandbox.Sandbox, space: Workspace) -> None:
    assert verify.run_setup(box, space, ["echo 1 >a", "cat a"], network=False, timeout=20) is None
    failed = verify.run_setup(
        box, space, ["true", "echo why >&2; exit 3", "echo >b"], network=False, timeout=20
    )
    assert failed is not None
    assert (failed.command, failed.status, failed.exit_code, failed.tail) == (
        "echo why >&2; exit 3", FAILED, 3, "why",
    )  # fmt: skip
    assert not (space.checkout / "b").exists()


def test_the_network_is_off_unless_asked_for(box: sandbox.Sandbox, space: Workspace) -> None:
    command = "test $(wc -l </proc/net/dev) -gt 3"
    (result,) = run(box, space, command)
    assert result.status is FAILED
    (result,) = run(box, space, "grep -q nameserver /etc/resolv.conf || test -e /etc/hosts", network=True)
    assert result.status is PASSED


_FLAKY = "if [ -e ran ]; then {second}; else touch ran; {first}; fi"


def test_a_failure_that_passes_when_run_again_is_not_believed(box: sandbox.Sandbox, space: Workspace) -> None:
    command = _FLAKY.format(first="exit 1", second="exit 0")
    base = [CheckResult(command, PASSED, 0)]
    (result,) = run(box, space, command, base=base)
    assert (result.status, result.note) == (PASSED, "flaky: failed once, passed when repeated")
    (space.checkout / "ran").unlink()
    (result,) = run(box, space, command)
    assert result.status is FAILED, "without a base nothing is run twice"


def test_a_failure_that_stays_is_believed(box: sandbox.Sandbox, space: Workspace) -> None:
    command = "echo x >>runs; exit 1"
    (result,) = run(box, space, command, base=[CheckResult(command, PASSED, 0)])
    assert result.status is FAILED
    assert (space.checkout / "runs").read_text() == "x\nx\n"
    (result,) = run(box, space, command, base=[CheckResult(command, FAILED, 1)])
    assert (space.checkout / "runs").read_text() == "x\nx\nx\n", "an old failure is not run twice"


@pytest.mark.usefixtures("has_pytest")
def test_of_two_failed_runs_the_stable_failures_count(box: sandbox.Sandbox, space: Workspace) -> None:
    write(space, {"test_a.py": BAD + "import pathlib\ndef test_flaky():\n    p = pathlib.Path('seen')\n"
                  "    was = p.exists()\n    p.touch()\n    assert not was\n"})  # fmt: skip
    (result,) = run(box, space, PYTEST, base=[CheckResult(PYTEST, PASSED, 0, ran=2, failed=0)])
    assert (result.failures, result.note) == (
        ("test_a.py::test_bad",),
        "flaky: test_a.py::test_flaky failed in one of two runs",
    )


def test_checks_of_the_base_are_run_though_the_result_has_lost_them(
    box: sandbox.Sandbox, space: Workspace
) -> None:
    base = [CheckResult("test -e a-test", PASSED, 0)]
    results = run(box, space, "true", base=base)
    assert [(result.command, result.status) for result in results] == [
        ("true", PASSED),
        ("test -e a-test", FAILED),
    ]


@pytest.mark.usefixtures("has_pytest")
def test_a_change_from_end_to_end(box: sandbox.Sandbox, space: Workspace) -> None:
    write(space, {"test_old.py": BAD, "test_more.py": GOOD})
    base = run(box, space, PYTEST)
    write(space, {"test_more.py": "def test_good(): assert 1 == 2\n"})
    proof = verify.compare(base, run(box, space, PYTEST, base=base))
    (regression,) = proof.regressions
    assert regression.new_failures == ("test_more.py::test_good",)
    write(space, {"test_more.py": GOOD})
    assert not verify.compare(base, run(box, space, PYTEST, base=base)).regressions
