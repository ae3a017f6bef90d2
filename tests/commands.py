"""`sprint` as a process of its own, forked from one that has its modules loaded.

A new interpreter that imports all that a tick needs takes as much CPU as the rest of a small tick. Tests
of starting up itself, and of variables that an interpreter reads when it starts, run `python -m sprint`.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import importlib
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Client, Connection
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

from tests.killed_at import plant

_ROOT = Path(__file__).parent.parent
_SERVE = "import sys; from tests.commands import serve; serve(sys.argv[1])"
_NOT_MODULES = ("sprint.__main__", "sprint.sandbox.bin", "sprint.sprite.supervisor")
_TAKES_LONG = ("_strptime", "rich.console", "yaml")


class Command:
    """A `sprint` under way. Its output goes to two files, `out` and `err`.

    `killed_at`: the step of tests.killed_at after which it is to die.
    """

    def __init__(
        self, args: tuple[str, ...], cwd: Path, environ: Mapping[str, str], killed_at: str | None = None
    ) -> None:
        folder = Path(tempfile.mkdtemp(dir=_server().parent))
        self.out, self.err = folder / "out", folder / "err"
        self.returncode: int | None = None
        self._line = Client(str(_server()))
        self._line.send((args, str(cwd), dict(environ), str(self.out), str(self.err), killed_at))
        self.pid: int = self._line.recv()

    def poll(self, timeout: float = 0.0) -> int | None:
        return self._told(timeout)

    def wait(self, timeout: float = 120) -> int:
        if (code := self._told(timeout)) is None:
            raise subprocess.TimeoutExpired("sprint", timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _told(self, timeout: float) -> int | None:
        if self.returncode is None and self._line.poll(timeout):
            self.returncode = self._line.recv()
        return self.returncode


@cache
def _server() -> Path:
    """The socket of this process's own server."""
    folder = tempfile.TemporaryDirectory(prefix="sprint-commands-", ignore_cleanup_errors=True)
    path = Path(folder.name, "socket")
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(path)],
        cwd=_ROOT,
        stdin=subprocess.PIPE,  # closed when this process ends, however it does; that ends the server
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(folder.cleanup)
    assert server.stdout
    assert server.stdout.readline() == "ready\n"
    return path


def serve(path: str) -> None:
    """Load what a tick loads and fork for each command, until stdin is closed."""
    for module in pkgutil.walk_packages([str(_ROOT / "sprint")], "sprint."):
        if not module.name.startswith(_NOT_MODULES):
            importlib.import_module(module.name)
    for name in _TAKES_LONG:
        importlib.import_module(name)
    _prepare()
    _hurry()
    gc.set_threshold(50_000)  # as the program has it
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            line = Connection(listener.accept()[0].detach())
            if os.fork() == 0:
                listener.close()
                _watch(line)
            line.close()


def _prepare() -> None:
    """What each process makes anew of files of the program itself, whatever it is to do."""
    from sprint.policy.patterns import covers
    from sprint.policy.protected import PROTECTED
    from sprint.policy.scanner import Scanner
    from sprint.prompts import templates

    Scanner(cpu_seconds=1)  # loads its rules
    for entries in PROTECTED.values():
        covers(entries, "")
    environment = templates._environment()
    for name in environment.list_templates():
        environment.get_template(name)


def _hurry() -> None:
    """Between two attempts they wait a fiftieth of the time; how long it is has tests of its own."""
    import tenacity.nap

    from sprint.model import Models, tool_question

    tenacity.nap.time = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 50))
    defaults: dict[str, float] = Models.__init__.__kwdefaults__
    defaults["backoff_seconds"] /= 50
    tool_question._SECONDS_BETWEEN_TRIES /= 50


def _watch(line: Connection) -> NoReturn:
    """Begin the command that is asked for, tell its process number, and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    args, cwd, environ, out, err, killed_at = line.recv()
    child = os.fork()
    if child == 0:
        line.close()
        if killed_at:
            plant(killed_at)
        _become(args, cwd, environ, out, err)
    with suppress(OSError):  # nobody waits any more
        line.send(child)
        line.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os._exit(0)


def _become(args: tuple[str, ...], cwd: str, environ: dict[str, str], out: str, err: str) -> NoReturn:
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(cwd)
    for number, name, flags in ((0, os.devnull, os.O_RDONLY), (1, out, os.O_WRONLY), (2, err, os.O_WRONLY)):
        opened = os.open(name, flags | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    faulthandler.enable()  # a crash of a library says where
    sys.argv = ["sprint", *args]
    cli = importlib.import_module("sprint.cli")
    try:
        code = cli.main(args)
    except SystemExit as ended:
        code = int(ended.code or 0)
    # All that an interpreter does at its end, but for taking a hundred modules apart.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
