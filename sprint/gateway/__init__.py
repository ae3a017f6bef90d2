"""The one door out of the sandbox, which has no network: it forwards, and never hands out.

A gateway belongs to one run. It is a socket in a folder that only the runner can enter, shown inside as
/run/gateway; a command that is wrapped opens doors on the sandbox's own loopback (a port for each route) and
hands these over, so that whatever connects to them reaches the gateway's threads in the runner. Since the
name space has no other way, a variable that is unset, an address that is dialled, a protocol that is not
spoken here lead nowhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from errno import ECONNREFUSED, ENOENT
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from sprint.errors import SandboxError
from sprint.files import refusing

if TYPE_CHECKING:
    from sprint.gateway.server import Route

__all__ = ["DOORS", "Door", "Gateway", "entrance", "opened"]

INSIDE = "/run/gateway"
# The same in every sandbox, each of which has a loopback of its own: what clients keep by address stays good.
DOORS = {
    "connect": 47100,
    "pypi": 47101,
    "npm": 47102,
    "go": 47103,
    "crates": 47104,
    "maven": 47105,
    "model": 47106,
}
_PREFIX = "gateway-"
_SYSTEM_PYTHON = Path("/usr/bin/python3")


class Door(Struct, frozen=True):
    """A route with what points programs at it: variables, and files below HOME for those that read none."""

    route: Route
    env: Mapping[str, str]
    home_files: Mapping[str, str]


class Gateway(Struct, frozen=True):
    """What a command needs to use it: `read_only` and `env` are for its Command, `wrap` is for the argv.
    `ports` are those of its doors on the command's loopback, by name; `folder` is its own on this machine.

    `take_refusals` tells in one line what was refused since it was asked last, "" where nothing was. After
    `close` nobody is answered any more, and what was is counted.
    """

    read_only: Mapping[Path, str]
    env: Mapping[str, str]
    entrance: tuple[str, ...]
    ports: Mapping[str, int]
    folder: Path
    take_refusals: Callable[[], str] = str
    close: Callable[[], object] = str

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """The command that opens the doors in its sandbox and then is `argv`."""
        return [*self.entrance, *argv]


@contextlib.contextmanager
def opened(
    folder: Path, doors: Mapping[str, Door], *, has_own_network: bool = True, name: str = ""
) -> Iterator[Gateway]:
    """A gateway with these routes, by their names in DOORS. Afterwards nothing answers, nothing is left.

    Its socket is made in a new folder below `folder`, which is the run's. Commands whose network is this
    machine's (`has_own_network` False) cannot have doors of their own: then it listens on this machine's
    loopback, at free ports, and only a route that asks for a key of its own keeps others out.

    With a `name` its folder is that one, which nobody else may use meanwhile, and each door is a socket in it
    as well, DOOR.http, for whoever forwards it to another machine. Raises SprintError where it cannot be
    opened, SandboxError where this machine has no Python that the sandbox can be shown.
    """
    from sprint.gateway.server import Server

    argv, shown = entrance() if has_own_network else ((), {})
    token = secrets.token_urlsafe(24)
    _sweep(folder)
    with _private_folder(folder, name) as private:
        with refusing("make a gateway in", folder):
            inside = _fill(private / "inside", token, doors)
            server = Server(inside / "socket", token, {door: doors[door].route for door in doors})
        server.start()
        try:
            env = {variable: value for door in doors.values() for variable, value in door.env.items()}
            for door in doors if name else ():
                server.listen_at(door, private / f"{door}.http")
            if has_own_network:
                ports = {door: DOORS[door] for door in doors}
                yield Gateway({inside: INSIDE, **shown}, env, argv, ports, private, close=server.close)
            else:
                ports = {door: server.listen(door) for door in doors}
                yield Gateway({}, env, (), ports, private, close=server.close)
        finally:
            server.close()


def entrance() -> tuple[tuple[str, ...], Mapping[Path, str]]:
    """What opens the doors inside and then becomes the command that follows, and what has to be shown for it
    besides the gateway's own `inside`. Raises SandboxError where this machine has no Python to show."""
    python, shown = _python()
    return (python, "-I", "-S", f"{INSIDE}/enter.py"), shown


def _sweep(folder: Path) -> None:
    """Take away what gateways of dead processes left behind: nobody listens there any more."""
    for left in folder.glob(f"{_PREFIX}*"):
        with socket.socket(socket.AF_UNIX) as caller, contextlib.suppress(OSError):
            descriptor = os.open(left / "inside", os.O_RDONLY | os.O_DIRECTORY)
            try:
                if caller.connect_ex(f"/proc/self/fd/{descriptor}/socket") in (ECONNREFUSED, ENOENT):
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def _private_folder(parent: Path, name: str) -> Iterator[Path]:
    """One that only its owner can enter; never below a workspace, whose sockets all commands there reach."""
    with refusing("make a folder in", parent):
        if name:
            made = parent / name
            shutil.rmtree(made, ignore_errors=True)  # of one that was killed
            made.mkdir(mode=0o700)
        else:
            made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _fill(inside: Path, token: str, doors: Mapping[str, Door]) -> Path:
    inside.mkdir()
    shutil.copyfile(Path(__file__).with_name("enter.py"), inside / "enter.py")
    ports = {name: DOORS[name] for name in doors}
    (inside / "doors.json").write_text(json.dumps({"token": token, "ports": ports}))
    (inside / "home").mkdir()
    for door in doors.values():
        for name, text in door.home_files.items():
            path = inside / "home" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for folder, _, names in os.walk(inside):  # the runner's umask must not hide it from the sandbox's user
        Path(folder).chmod(0o755)
        for name in names:
            Path(folder, name).chmod(0o644)
    return inside


def _python() -> tuple[str, dict[Path, str]]:
    """A Python that is there inside: the system's, else the one that runs this, shown where it is."""
    own = Path(sys.base_prefix).resolve()
    if _SYSTEM_PYTHON.exists() or own == Path("/usr"):
        return str(_SYSTEM_PYTHON), {}
    program = own / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    if own.parts[1:2] in ((), ("tmp",), ("proc",), ("dev",)) or not program.exists():
        raise SandboxError(
            f"the gateway needs a Python inside the sandbox, and {own} cannot be shown there; "
            "install it with `apt-get install python3-minimal`"
        )
    return str(program), {own: str(own)}
