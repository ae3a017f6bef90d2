"""What `sprint doctor` says of a worker that is a coding agent: found, shown inside, started there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sprint.config import AgentWorkerConfig
from sprint.domain import Finding, Grade
from sprint.errors import SprintError
from sprint.sandbox import Sandbox
from sprint.sandbox.probing import in_throwaway
from sprint.worker.agents.catalogue import AGENTS
from sprint.worker.agents.contract import AgentKind
from sprint.worker.agents.programs import Program
from sprint.worker.agents.way import Route

_SECONDS = 60.0
_START = '"$@" --version >/dev/null && times'
_MINUTES = re.compile(r"(\d+)m([\d.]+)s")


def examine(name: str, config: AgentWorkerConfig, sandbox: Sandbox, route: Route) -> Iterator[Finding]:
    """Each finding as it is made; the last says whether its model can be reached."""
    kind, what = AGENTS[type(config)], f"worker {name}"
    try:
        program = kind.find(config)
    except SprintError as error:
        yield Finding(Grade.FAULT, what, str(error))
        return
    yield _version(kind, what, program)
    yield _start(what, program, sandbox)
    if kind.REMARK:
        yield Finding(Grade.WARNING, what, kind.REMARK)
    try:
        route.check(kind.DIALECT, config.model)
    except SprintError as error:
        yield Finding(Grade.FAULT, f"{what} model", str(error))


def _version(kind: AgentKind, what: str, program: Program) -> Finding:
    if program.version == kind.TRIED:
        return Finding(Grade.OK, what, f"{kind.NAME} {program.version}, the version that was tried")
    found = program.version or "of an unknown version"
    return Finding(
        Grade.WARNING, what, f"{kind.NAME} {found}; tried was {kind.TRIED}, and others may behave differently"
    )


def _start(what: str, program: Program, sandbox: Sandbox) -> Finding:
    """Starts it inside as a run does, but for its name and version only."""
    argv = ["/bin/sh", "-c", _START, "sh", *program.argv]
    try:
        done = in_throwaway(sandbox, argv, timeout=_SECONDS, read_only=program.read_only)
    except SprintError as error:
        return Finding(Grade.FAULT, what, str(error))
    if not done.ok:
        said = (done.err.strip().splitlines() or [done.killed_by or f"exit code {done.exit_code}"])[-1]
        return Finding(Grade.FAULT, what, f"does not start in the sandbox: {said}; install it again")
    spent = sum(int(minutes) * 60 + float(seconds) for minutes, seconds in _MINUTES.findall(done.out))
    return Finding(Grade.OK, what, f"starts in the sandbox; {spent:.1f} s of CPU to say its version")
