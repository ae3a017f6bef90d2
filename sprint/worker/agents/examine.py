"""What `sprint doctor` says of a worker that is a coding agent: found, started, at work."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sprint.config import AgentWorkerConfig, HermesWorkerConfig
from sprint.domain import Finding, Grade, Secret
from sprint.errors import SprintError
from sprint.sandbox import Sandbox
from sprint.sandbox.probing import in_throwaway
from sprint.worker.agents import trial
from sprint.worker.agents.agent_kind import AgentKind
from sprint.worker.agents.catalogue import AGENTS
from sprint.worker.agents.hermes_server import health
from sprint.worker.agents.programs import Program
from sprint.worker.agents.way import Route

_SECONDS = 60.0
# Python tells memory, too; the shell's own `times` does where that is not there.
_MEASURE = (
    "import resource as r, subprocess as s, sys; e = s.run(sys.argv[1:], stdout=s.DEVNULL).returncode; "
    "u = r.getrusage(r.RUSAGE_CHILDREN); print('used', u.ru_utime + u.ru_stime, u.ru_maxrss // 1024); "
    "sys.exit(e)"
)
_START = (
    'command -v python3 >/dev/null && exec python3 -c "$0" "$@" --version; "$@" --version >/dev/null && times'
)
_USED = re.compile(r"^used ([\d.]+) (\d+)$", re.MULTILINE)
_MINUTES = re.compile(r"(\d+)m([\d.]+)s")


def examine(
    name: str,
    config: AgentWorkerConfig,
    sandbox: Sandbox,
    route: Route,
    *,
    server_key: Secret | None = None,
    deep: bool = False,
) -> Iterator[Finding]:
    """Each finding as it is made. `server_key` opens hermes' server. `deep`: also one turn with its model."""
    kind, what = AGENTS[type(config)], f"worker {name}"
    if isinstance(config, HermesWorkerConfig) and config.outside_sandbox and config.via != "cli":
        yield from _server(what, config, server_key)
        if config.via == "server":
            return
    try:
        program = kind.find(config)
    except SprintError as error:
        yield Finding(Grade.FAULT, what, str(error))
        return
    yield _version(kind, what, program)
    started = _start(what, program, sandbox)
    yield started
    if kind.REMARK:
        yield Finding(Grade.WARNING, what, kind.REMARK)
    try:
        route.check(kind.DIALECT, config.model, anew=True)
    except SprintError as error:
        yield Finding(Grade.FAULT, f"{what} model", str(error))
        return
    if deep and started.grade is Grade.OK:
        yield trial.one_turn(what, kind, config, sandbox, route)


def _version(kind: AgentKind, what: str, program: Program) -> Finding:
    if program.version == kind.TRIED:
        return Finding(Grade.OK, what, f"{kind.NAME} {program.version}, the version that was tried")
    found = program.version or "of an unknown version"
    return Finding(
        Grade.WARNING, what, f"{kind.NAME} {found}; tried was {kind.TRIED}, and others may behave differently"
    )


def _start(what: str, program: Program, sandbox: Sandbox) -> Finding:
    """Starts it inside as a run does, but for its name and version only."""
    argv = ["/bin/sh", "-c", _START, _MEASURE, *program.argv]
    try:
        done = in_throwaway(sandbox, argv, timeout=_SECONDS, read_only=program.read_only)
    except SprintError as error:
        return Finding(Grade.FAULT, what, str(error))
    if not done.ok:
        said = (done.err.strip().splitlines() or [done.killed_by or f"exit code {done.exit_code}"])[-1]
        return Finding(Grade.FAULT, what, f"does not start in the sandbox: {said}; install it again")
    if used := _USED.search(done.out):
        cost = f"{float(used[1]):.1f} s of CPU and {used[2]} MB"
    else:
        seconds = sum(int(minutes) * 60 + float(rest) for minutes, rest in _MINUTES.findall(done.out))
        cost = f"{seconds:.1f} s of CPU"
    return Finding(Grade.OK, what, f"starts in the sandbox; {cost} to say its version")


def _server(what: str, config: HermesWorkerConfig, key: Secret | None) -> Iterator[Finding]:
    """Hermes' own server: whether it is up, and what is given up by using it."""
    version = health(config.server)
    is_needed = config.via == "server"
    if version is None:
        says = f"hermes' server does not answer at {config.server}; start it: `hermes gateway run`"
        yield Finding(
            Grade.FAULT if is_needed else Grade.WARNING,
            what,
            says if is_needed else f"{says}; until then its command line works",
        )
    elif key is None:
        yield Finding(
            Grade.FAULT if is_needed else Grade.WARNING,
            what,
            "hermes' server wants a key; set API_SERVER_KEY, or server_key_file of that worker",
        )
    else:
        yield Finding(Grade.OK, what, f"hermes' server {version} is up at {config.server}".replace("  ", " "))
    yield Finding(
        Grade.WARNING,
        what,
        "hermes' server works outside the sandbox, as configured, with its own user's rights; what it costs "
        "is unknown, and to stop it is to close the request: a command that it runs may go on",
    )
