"""A PostgreSQL of the tests' own: Debian's programs, a folder in /tmp, a Unix socket, no root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from tests.waiting import is_alive, wait_until

PASSWORD = "p%40ss-w0rd-that-nobody-prints"  # as it stands in the URL; the server trusts its socket


class Postgres:
    """One server; `database()` makes a database in it and returns its URL."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sprint-pg-", dir="/tmp"))
        self._user = _unprivileged()
        if self._user:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._made = 0
        self.run("initdb", "-D", "data", "-A", "trust", "-U", "sprint", "--no-sync", "-E", "UTF8")
        self.start()

    def start(self) -> None:
        options = f"-k {self.folder} -h '' -F -c max_connections=60 -c shared_buffers=32MB"
        self.run("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", options, "start")

    def kill(self) -> None:
        """As by the kernel: the server and all that serves a connection, at once."""
        pid = self.pid()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        killed = [pid, *map(int, children)]
        for one in killed:
            os.kill(one, signal.SIGKILL)
        assert wait_until(lambda: not any(map(is_alive, killed)))
        # Where nobody reaps them, their numbers look alive.
        for left in (self.folder / "data" / "postmaster.pid", *self.folder.glob(".s.PGSQL*")):
            left.unlink()

    def pid(self) -> int:
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def stop(self) -> None:
        try:
            self.run("pg_ctl", "-D", "data", "-m", "immediate", "stop")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def database(self) -> str:
        self._made += 1
        name = f"fleet{self._made}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as server:
            server.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql://sprint:{PASSWORD}@/{name}?host={self.folder}"

    def run(self, program: str, *args: str) -> None:
        become: dict[str, Any] = {}
        if self._user:
            become = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        done = subprocess.run(
            [_program(program), *args],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=120,
            **become,
        )
        assert done.returncode == 0, done.stderr.decode()


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom the server runs as where we are root, which it refuses."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("no unprivileged user to run a PostgreSQL")


def _program(name: str) -> str:
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None
    )
    assert found, f"{name} is missing: apt-get install postgresql"
    return found


def query(url: str, text: str, *args: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as database:
        found = database.execute(text, args)  # type: ignore[arg-type]
        return found.fetchall() if found.description else []
