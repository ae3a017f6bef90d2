"""`start`, `status`, `logs`, `stop` and `kill`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sprint.sprite.supervisor.agent_settings import Settings, duration, settings_of
from sprint.sprite.supervisor.fault import Fault
from sprint.sprite.supervisor.given_flags import add_start_flags
from sprint.sprite.supervisor.own_processes import descendants, end_all, marked
from sprint.sprite.supervisor.pid_file import claim_in, number_in, patience_of, take_over
from sprint.sprite.supervisor.state_files import load, replace, told
from sprint.sprite.supervisor.supervision import Supervisor

_NOT_TEXT = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]+[0-~]|[0-~])"
    r"|\x9b[0-?]*[ -/]*[@-~]"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def start(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    settings = settings_of(args, environ)
    if settings.agent == "opencode" and not args.agent_command:
        print(
            "agent: opencode is known to stall on sprites; claude and codex are tried there", file=sys.stderr
        )
    if settings.foreground:
        return Supervisor(settings, take_over(settings.pid_file)).run()
    told, tell = os.pipe()
    if os.fork():
        os.close(tell)
        with open(told, encoding="utf-8") as answer:
            said = answer.read()
        if not said.startswith("ok "):
            raise Fault(said.strip() or "the supervisor did not begin")
        print(f"supervisor {said[3:].strip()} has begun; `status` and `logs` tell of it")
        return 0
    os.setsid()
    if os.fork():
        os._exit(0)
    return _be_a_daemon(settings, tell)


def _be_a_daemon(settings: Settings, tell: int) -> NoReturn:
    """Of no terminal and no parent; whoever started it is told that it began, or why not."""
    code = 1
    try:
        claim = take_over(settings.pid_file)
        errors = os.open(settings.errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDWR)
        for source, number in ((null, 0), (errors, 1), (errors, 2)):
            os.dup2(source, number)

        def begun() -> None:
            os.write(tell, f"ok {os.getpid()}".encode())
            os.close(tell)

        code = Supervisor(settings, claim).run(begun)
    except Fault as fault:
        os.write(tell, str(fault).encode())
    except OSError as error:
        os.write(tell, f"{error.filename or ''}: {error.strerror}".encode())
    finally:
        os._exit(code)


def status(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    state_file, pid_file = _state_file(args, environ), _pid_file(args, environ)
    state = load(state_file)
    if not state:
        raise Fault(f"no agent was started here ({state_file} is not there)")
    claim = claim_in(pid_file)
    if state.get("status") in ("starting", "running", "stalled", "stopping") and not (
        claim and claim.is_alive
    ):
        state |= {
            "status": "stopped",
            "outcome": "lost",
            "last_error": "the supervisor was killed",
            "agent_pid": None,
        }
    if args.json:
        print(json.dumps(state, indent=1))
        return 0
    show("".join(f"{line}\n" for line in told(state)).encode())
    return 0


def show(data: bytes) -> None:
    """On a terminal what an agent printed is text and does nothing else; elsewhere it is what it is."""
    if sys.stdout.isatty():
        data = _NOT_TEXT.sub("", data.decode("utf-8", "replace")).encode()
    sys.stdout.buffer.write(data)
    sys.stdout.flush()


def logs(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    path = _path(args, environ, "BB_OUTPUT_LOG", ".bb-agent/agent.log")
    if not path.exists():
        raise Fault(f"nothing was printed yet ({path} is not there)")
    lines = path.read_bytes().splitlines(keepends=True)
    show(b"".join(lines[max(0, len(lines) - args.lines) :]))
    place, file = path.stat().st_size, path.stat().st_ino
    while args.follow:
        claim = claim_in(_pid_file(args, environ))
        about = path.stat()
        if about.st_ino != file:  # trimmed
            place, file = about.st_size, about.st_ino
        elif about.st_size > place:
            with path.open("rb") as log:
                log.seek(place)
                data = log.read()
            place += len(data)
            show(data)
        elif not (claim and claim.is_alive):
            break
        time.sleep(0.3)
    return 0


def stop(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """SIGTERM to the supervisor, SIGKILL after the time that is given here, else as it was started; then
    nothing that it began is alive."""
    path = _pid_file(args, environ)
    claim = claim_in(path)
    if claim is None:
        print("no supervisor runs here")
        return 0
    asked = args.timeout or environ.get("BB_SHUTDOWN_GRACE")
    known = load(_state_file(args, environ)).get("shutdown_grace")
    grace = duration(asked or (f"{known}s" if isinstance(known, float) else "10s"))
    if claim.is_alive:
        with contextlib.suppress(OSError):
            replace(patience_of(path), {"grace": grace})
        with contextlib.suppress(ProcessLookupError):
            os.kill(claim.pid, signal.SIGTERM)
        until = time.monotonic() + grace + 2.0
        while claim.is_alive and time.monotonic() < until:
            time.sleep(0.05)
        if claim.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(claim.pid, signal.SIGKILL)
    end_all(lambda: marked(claim.mark), 0.0)
    path.unlink(missing_ok=True)
    print("stopped")
    return 0


def kill(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """SIGKILL at once, for what `stop` does not end: the supervisor, and all that has its mark.

    bb's supervisor left a bare number: it is taken for one only where such a program has that number.
    """
    path = _pid_file(args, environ)
    claim, number = claim_in(path), number_in(path)
    pid = claim.pid if claim and claim.is_alive else number
    if pid:
        below = descendants(pid)
        for one in (pid, *below):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
    if claim:
        end_all(lambda: marked(claim.mark), 0.0)
    path.unlink(missing_ok=True)
    print("killed" if pid or claim else "no supervisor runs here")
    return 0


def _path(args: argparse.Namespace, environ: Mapping[str, str], variable: str, default: str) -> Path:
    folder = Path(args.repo_dir or environ.get("BB_REPO_DIR") or ".").absolute()
    return folder / (environ.get(variable) or default)


def _state_file(args: argparse.Namespace, environ: Mapping[str, str]) -> Path:
    return _path(args, environ, "BB_STATE_FILE", ".bb-agent/state.json")


def _pid_file(args: argparse.Namespace, environ: Mapping[str, str]) -> Path:
    return _path(args, environ, "BB_PID_FILE", ".bb-agent/supervisor.pid")


class _Parser(argparse.ArgumentParser):
    """Says wrong usage in one line, and which command tells the right one."""

    def parse_known_args(self, *given: Any, **more: Any) -> Any:
        parsed, unknown = super().parse_known_args(*given, **more)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        line = " ".join(_NOT_TEXT.sub("", message).split())
        self.exit(2, f"agent: {line}; see `{self.prog} --help`\n")


def parser() -> argparse.ArgumentParser:
    program = Path(sys.argv[0]).name
    whole = _Parser(
        prog="sprint agent" if program == "__main__.py" else f"python3 {program}",
        description="Supervise a coding agent on this machine.",
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    began = commands.add_parser("start", help="start the agent and watch it")
    add_start_flags(began)
    began.set_defaults(run=start)
    told = commands.add_parser("status", help="how it is")
    told.add_argument("--json", action="store_true")
    told.set_defaults(run=status)
    shown = commands.add_parser("logs", help="what the agent printed")
    shown.add_argument("-n", "--lines", type=int, default=100, metavar="N", help="the last N lines (100)")
    shown.add_argument("-f", "--follow", action="store_true")
    shown.set_defaults(run=logs)
    ended = commands.add_parser("stop", help="end it, and all that it started")
    ended.add_argument(
        "--timeout", metavar="X", help="from SIGTERM to SIGKILL [BB_SHUTDOWN_GRACE, as started]"
    )
    ended.set_defaults(run=stop)
    killed = commands.add_parser("kill", help="the same by SIGKILL at once, where stop does not")
    killed.set_defaults(run=kill)
    for command in (told, shown, ended, killed):
        command.add_argument("--repo-dir", metavar="DIR", help="[BB_REPO_DIR, .]")
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        return int(args.run(args, os.environ))
    except Fault as fault:
        print(f"agent: {fault}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
