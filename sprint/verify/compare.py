"""What a change did to the checks: failures that are new, told from those that were there before."""

from __future__ import annotations

from collections.abc import Sequence

from sprint.domain import CheckComparison, CheckResult, CheckStatus, Proof, replace

_PASSED, _FAILED = CheckStatus.PASSED, CheckStatus.FAILED
_TIMED_OUT, _NOT_RUN = CheckStatus.TIMED_OUT, CheckStatus.NOT_RUN


def compare(base: Sequence[CheckResult], result: Sequence[CheckResult]) -> Proof:
    """Each check of either side, those of the result first; one that a side lacks is NOT_RUN there."""
    before = {check.command: check for check in base}
    after = {check.command: check for check in result}
    return Proof(
        tuple(
            judge(
                before.get(command, no_check(command)),
                after.get(command, CheckResult(command, _NOT_RUN, note="no longer a check")),
            )
            for command in dict.fromkeys([*after, *before])
        )
    )


def not_run(base: Sequence[CheckResult], reason: str) -> Proof:
    """What is proven where the checks could not be run at the result: nothing, and nothing got worse."""
    return Proof(
        tuple(
            CheckComparison(check.command, check, CheckResult(check.command, _NOT_RUN, note="set-up failed"))
            for check in base
        ),
        reason,
    )


def build_broken(base: Sequence[CheckResult], failed: CheckResult) -> Proof:
    """What a command of the build that fails at the result alone does to the proof: it got worse."""
    worked = CheckResult(failed.command, _PASSED)
    broken = CheckComparison(failed.command, worked, failed, is_regression=True, note="it worked at the base")
    rest = not_run(base, f"{failed.command} failed").comparisons
    return Proof((broken, *(replace(c, result=replace(c.result, note="the build failed")) for c in rest)))


def no_check(command: str) -> CheckResult:
    """What stands for a check that the base did not have."""
    return CheckResult(command, _NOT_RUN, note="not a check at the base")


def judge(base: CheckResult, result: CheckResult) -> CheckComparison:
    """One check: whether it got worse, and by which tests."""
    same = CheckComparison(result.command, base, result)
    if result.status is _PASSED:
        return replace(same, note=_fewer(base, result))
    if result.status is _NOT_RUN:
        return _vanished(same)
    if result.status is _TIMED_OUT:
        if base.status is _TIMED_OUT:
            return replace(same, note="timed out before too")
        return _regression(same, "did not time out before")
    if base.status is _FAILED:
        return _failed_twice(same)
    if base.status is _TIMED_OUT:
        return replace(same, note="timed out before: which failures are new cannot be told")
    return _regression(same, "" if base.status is _PASSED else base.note or "did not run before")


def _failed_twice(pair: CheckComparison) -> CheckComparison:
    base, result = pair.base, pair.result
    if base.ran and not result.ran:
        return _regression(pair, "no test ran any more")
    if base.failures and result.failures:
        new = tuple(name for name in result.failures if name not in base.failures)
        if new:
            return replace(pair, new_failures=new, is_regression=True)
        return replace(pair, note=f"failed before too{_fewer(base, result, '; ')}")
    if base.failed is not None and result.failed is not None:
        if result.failed > base.failed:
            return _regression(pair, f"{result.failed} failures, {base.failed} before")
        return replace(pair, note=f"failed before too{_fewer(base, result, '; ')}")
    return replace(pair, note="failed before too: which failures are new cannot be told")


def _vanished(pair: CheckComparison) -> CheckComparison:
    base = pair.base
    passed = base.ran is not None and base.failed is not None and base.ran > base.failed
    if base.status is _PASSED or (base.status is _FAILED and passed):
        return _regression(pair, pair.result.note or "ran before")
    return pair


def _regression(pair: CheckComparison, note: str) -> CheckComparison:
    return replace(pair, new_failures=pair.result.failures, is_regression=True, note=note)


def _fewer(base: CheckResult, result: CheckResult, before: str = "") -> str:
    """Tests that were deleted or are skipped now are worth a word, though nothing fails."""
    if base.ran is None or result.ran is None or result.ran >= base.ran:
        return ""
    return f"{before}{base.ran - result.ran} fewer tests than before"
