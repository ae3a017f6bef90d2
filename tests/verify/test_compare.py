"""New failures are told from old ones."""

from __future__ import annotations

from typing import Any

import pytest

from sprint import verify
from sprint.domain import CheckResult, CheckStatus, ProofVerdict, replace

PASSED, FAILED = CheckStatus.PASSED, CheckStatus.FAILED
TIMED_OUT, NOT_RUN = CheckStatus.TIMED_OUT, CheckStatus.NOT_RUN


def check(status: CheckStatus, *failures: str, **more: Any) -> CheckResult:
    return CheckResult("c", status, failures=failures, **more)


@pytest.mark.parametrize(
    ("base", "result", "is_regression", "new", "note"),
    [
        (check(PASSED), check(PASSED), False, (), ""),
        (
            check(PASSED, ran=9, failed=0),
            check(PASSED, ran=7, failed=0),
            False,
            (),
            "2 fewer tests than before",
        ),
        (check(FAILED, "a"), check(PASSED), False, (), ""),
        (check(PASSED), check(FAILED, "a"), True, ("a",), ""),
        (check(PASSED), check(FAILED), True, (), ""),
        (check(PASSED), check(TIMED_OUT), True, (), "did not time out before"),
        (check(PASSED), check(NOT_RUN, note="no tests were found"), True, (), "no tests were found"),
        (check(FAILED, "a"), check(FAILED, "a"), False, (), "failed before too"),
        (check(FAILED, "a", "b"), check(FAILED, "b"), False, (), "failed before too"),
        (check(FAILED, "a"), check(FAILED, "a", "b"), True, ("b",), ""),
        (check(FAILED, "a"), check(FAILED, "b"), True, ("b",), ""),
        (check(FAILED), check(FAILED), False, (), "failed before too: which failures are new cannot be told"),
        (check(FAILED, failed=2), check(FAILED, failed=2), False, (), "failed before too"),
        (check(FAILED, failed=2), check(FAILED, failed=3), True, (), "3 failures, 2 before"),
        (check(FAILED, "a", ran=9, failed=1), check(FAILED), True, (), "no test ran any more"),
        (check(FAILED, "a", ran=9, failed=1), check(NOT_RUN), True, (), "ran before"),
        (check(FAILED), check(NOT_RUN), False, (), ""),
        (check(FAILED), check(TIMED_OUT), True, (), "did not time out before"),
        (check(TIMED_OUT), check(TIMED_OUT), False, (), "timed out before too"),
        (
            check(TIMED_OUT),
            check(FAILED, "a"),
            False,
            (),
            "timed out before: which failures are new cannot be told",
        ),
        (check(NOT_RUN), check(NOT_RUN), False, (), ""),
        (check(NOT_RUN), check(PASSED), False, (), ""),
        (check(NOT_RUN, note="no tests were found"), check(FAILED, "a"), True, ("a",), "no tests were found"),
    ],
)
def test_comparisons(
    base: CheckResult, result: CheckResult, is_regression: bool, new: tuple[str, ...], note: str
) -> None:
    (comparison,) = verify.compare([base], [result]).comparisons
    assert (comparison.is_regression, comparison.new_failures, comparison.note) == (is_regression, new, note)


def test_checks_of_one_side_only() -> None:
    proof = verify.compare(
        [CheckResult("old", PASSED), CheckResult("gone", FAILED)],
        [CheckResult("new", PASSED), CheckResult("new and bad", FAILED, failures=("a",))],
    )
    seen = {c.command: (c.base.status, c.result.status, c.is_regression) for c in proof.comparisons}
    assert seen == {
        "new": (NOT_RUN, PASSED, False),
        "new and bad": (NOT_RUN, FAILED, True),
        "old": (PASSED, NOT_RUN, True),
        "gone": (FAILED, NOT_RUN, False),
    }
    assert [c.base.note for c in proof.comparisons][:2] == ["not a check at the base"] * 2
    assert [c.command for c in proof.regressions] == ["new and bad", "old"]


def test_no_checks_prove_nothing() -> None:
    assert verify.compare([], []).comparisons == ()
    assert verify.compare([], []).verdict is NONE


PROVEN, NONE, UNPROVEN = ProofVerdict.PROVEN, ProofVerdict.NONE, ProofVerdict.UNPROVEN
GOOD, BAD, MISSING = check(PASSED, ran=9, failed=0), check(FAILED, "a", ran=9, failed=1), check(NOT_RUN)


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        ([(GOOD, GOOD)], PROVEN),
        ([(check(PASSED), check(PASSED))], PROVEN),  # its output does not count
        ([(check(PASSED, ran=0), check(PASSED, ran=0))], UNPROVEN),
        ([(GOOD, check(PASSED, ran=0, failed=0))], UNPROVEN),
        ([(MISSING, MISSING)], UNPROVEN),
        ([(MISSING, GOOD)], UNPROVEN),
        ([(GOOD, MISSING)], UNPROVEN),
        ([(GOOD, BAD)], UNPROVEN),
        ([(BAD, BAD)], UNPROVEN),
        ([(BAD, GOOD)], UNPROVEN),
        ([(check(TIMED_OUT), check(TIMED_OUT))], UNPROVEN),
        ([(check(TIMED_OUT), GOOD)], UNPROVEN),
        ([(GOOD, check(TIMED_OUT))], UNPROVEN),
        ([(GOOD, GOOD), (MISSING, MISSING)], PROVEN),
        ([(GOOD, GOOD), (BAD, BAD)], PROVEN),
        ([(GOOD, GOOD), (BAD, GOOD)], PROVEN),
        ([(GOOD, GOOD), (GOOD, BAD)], UNPROVEN),
        ([(GOOD, GOOD), (MISSING, BAD)], UNPROVEN),
        ([(MISSING, MISSING), (BAD, BAD)], UNPROVEN),
    ],
)
def test_verdicts(pairs: list[tuple[CheckResult, CheckResult]], verdict: ProofVerdict) -> None:
    named = [(replace(b, command=str(n)), replace(r, command=str(n))) for n, (b, r) in enumerate(pairs)]
    proof = verify.compare([base for base, _ in named], [result for _, result in named])
    assert proof.verdict is verdict


def test_a_set_up_that_fails_leaves_all_unproven_and_nothing_worse() -> None:
    proof = verify.not_run([GOOD], "set-up failed: npm ci: no such package")
    assert (proof.verdict, proof.regressions) == (UNPROVEN, ())
    assert [c.result.status for c in proof.comparisons] == [NOT_RUN]
    assert verify.not_run([], "set-up failed").verdict is UNPROVEN


def test_a_build_that_fails_is_worse() -> None:
    failed = CheckResult("make", FAILED, 2, tail="error: x")
    proof = verify.build_broken([GOOD], failed)
    (regression,) = proof.regressions
    assert (regression.command, regression.result, regression.note) == (
        "make",
        failed,
        "it worked at the base",
    )
    assert proof.verdict is UNPROVEN
