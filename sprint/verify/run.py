"""Runs a project's setup and checks in the sandbox, and reads what they say."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from msgspec import Struct

from sprint.domain import CheckResult, CheckStatus, Completed, Workspace, replace
from sprint.gateway import Gateway
from sprint.sandbox import Command, Sandbox
from sprint.terminal_text import readable
from sprint.verify import reports
from sprint.verify.compare import judge, no_check

_OUTPUT_CAP = 2_000_000
_TAIL = 4_000
_NOT_FOUND = (126, 127)
_NOT_THERE = "its program is not there"
_NO_TESTS_COLLECTED = 5  # pytest's exit code for it, and unittest's from Python 3.12 on
# The programs that a check's command starts may be missing, and then it exits with a code of its own.
_NOTHING_TO_RUN = re.compile(
    r"^make: \*\*\* No rule to make target|^make: \*\*\* \[.*\] Error 127$"
    r"|: No module named (?:pytest|tox|nox)$|^npm (?:ERR!|error) [Mm]issing script"
    r"|command not found$|^sh: \d+: \S+: not found$",
    re.MULTILINE,
)


class Watching(Struct, frozen=True):
    """Who follows set-up and checks: `ended` hears of each that has ended, `watch` is asked for a reason to
    end the one that runs. `began` hears of each that begins, with the seconds that it may take, and `line` of
    each line of its stdout."""

    ended: Callable[[CheckResult], None] = lambda result: None
    watch: Callable[[], str] = lambda: ""
    began: Callable[[str, float], None] = lambda command, seconds: None
    line: Callable[[bytes], None] = lambda line: None


UNWATCHED = Watching()


def run_setup(
    sandbox: Sandbox,
    workspace: Workspace,
    commands: Sequence[str],
    *,
    timeout: float,
    network: bool = False,
    gateway: AbstractContextManager[Gateway] | None = None,
    watching: Watching = UNWATCHED,
) -> CheckResult | None:
    """Run the commands in order; the first that fails, or None where all went well. `timeout` for each.

    Its `note` says what the gateway refused meanwhile.

    `gateway` is opened for them, where there are any, and closed behind them. Raises SprintError where that
    cannot be done.
    """
    if not commands:
        return None
    with gateway or contextlib.nullcontext() as way:
        for command in commands:
            done = _run(
                sandbox, workspace, command, network=network, timeout=timeout, gateway=way, watching=watching
            )
            status = CheckStatus.TIMED_OUT if done.killed_by == "timeout" else CheckStatus.FAILED
            result = _result(command, CheckStatus.PASSED if done.ok else status, done)
            refused = way.take_refusals() if way else ""
            if not done.ok:
                result = replace(result, note=refused)
            watching.ended(result)
            if not done.ok:
                return result
    return None


def run_checks(
    sandbox: Sandbox,
    workspace: Workspace,
    commands: Sequence[str],
    *,
    timeout: float,
    network: bool = False,
    base: Sequence[CheckResult] | None = None,
    watching: Watching = UNWATCHED,
    why_missing: str = "",
) -> tuple[CheckResult, ...]:
    """Run every check, whatever became of those before. `timeout` in seconds for each; `why_missing` is said
    of programs that are not there.

    With `base`, what the same checks gave before the change, its checks are run too where `commands` has
    lost them, and a failure that looks new is believed only when a second run has it as well.
    """
    before = {check.command: check for check in base or ()}
    results = []

    def check(command: str) -> CheckResult:
        result = _check(sandbox, workspace, command, network=network, timeout=timeout, watching=watching)
        return replace(result, note=why_missing) if why_missing and result.note == _NOT_THERE else result

    for command in dict.fromkeys([*commands, *before]):
        result = check(command)
        earlier = before.get(command, no_check(command))
        if base is not None and result.status is CheckStatus.FAILED and judge(earlier, result).is_regression:
            result = _of_two(result, check(command))
        results.append(result)
    return tuple(results)


def _of_two(first: CheckResult, second: CheckResult) -> CheckResult:
    """The second run counts; what failed only once is flaky."""
    if second.status is CheckStatus.PASSED:
        return replace(second, note=f"flaky: {_named(first.failures)}failed once, passed when repeated")
    stable = tuple(name for name in second.failures if name in first.failures)
    flaky = [name for name in (*first.failures, *second.failures) if name not in stable]
    if not stable or not flaky:
        return second
    return replace(second, failures=stable, note=f"flaky: {_named(flaky)}failed in one of two runs")


def _named(tests: Sequence[str]) -> str:
    """The first of them, and how many more, before what is said of them."""
    if not tests:
        return ""
    return f"{tests[0]} and {len(tests) - 1} more " if len(tests) > 1 else f"{tests[0]} "


def _check(
    sandbox: Sandbox,
    workspace: Workspace,
    command: str,
    *,
    network: bool,
    timeout: float,
    watching: Watching,
) -> CheckResult:
    done = _run(sandbox, workspace, command, network=network, timeout=timeout, watching=watching)
    report = reports.read(_text(done))
    status, note = _status(done, report)
    result = replace(
        _result(command, status, done),
        failures=report.failures if status in (CheckStatus.FAILED, CheckStatus.TIMED_OUT) else (),
        ran=report.ran,
        failed=report.failed,
        note=note,
    )
    watching.ended(result)
    return result


def _status(done: Completed, report: reports.Report) -> tuple[CheckStatus, str]:
    if done.killed_by == "timeout":
        return CheckStatus.TIMED_OUT, ""
    if done.killed_by:
        return CheckStatus.FAILED, f"ended by the limit: {done.killed_by}"
    if not report.ran and not report.failures:
        if done.exit_code in _NOT_FOUND or (done.exit_code and _NOTHING_TO_RUN.search(_text(done))):
            return CheckStatus.NOT_RUN, _NOT_THERE
        if report.ran == 0 and done.exit_code in (0, _NO_TESTS_COLLECTED):
            return CheckStatus.NOT_RUN, "no tests were found"
    return (CheckStatus.FAILED, "") if done.exit_code else (CheckStatus.PASSED, "")


def _run(
    sandbox: Sandbox,
    workspace: Workspace,
    command: str,
    *,
    network: bool,
    timeout: float,
    watching: Watching,
    gateway: Gateway | None = None,
) -> Completed:
    shell = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
    argv = [shell, "-c", command]
    watching.began(command, timeout)
    return sandbox.run(
        Command(
            gateway.wrap(argv) if gateway else argv,
            timeout=timeout,
            network=network,
            env=gateway.env if gateway else {},
            read_only=gateway.read_only if gateway else {},
            output_cap=_OUTPUT_CAP,
            watch=watching.watch,
            on_line=watching.line,
        ),
        workspace,
    )


def _result(command: str, status: CheckStatus, done: Completed) -> CheckResult:
    text = _text(done).rstrip()
    return CheckResult(
        command,
        status,
        exit_code=None if done.killed_by else done.exit_code,
        seconds=round(done.seconds, 3),
        tail=text if len(text) <= _TAIL else f"[...]\n{text[-_TAIL:].partition(chr(10))[2] or text[-_TAIL:]}",
    )


def _text(done: Completed) -> str:
    """Both streams: what runners say of failures goes to either."""
    return readable("\n".join(text.rstrip() for text in (done.out, done.err) if text.strip()))
