"""Which package indexes this machine's own clients use: asked of them, so that the user's mirrors hold.

No address stands here. A client is asked in the way that it has (its configuration, its defaults, or the
first request that it makes), and its answer is kept until it or its settings change.
"""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import json
import logging
import netrc
import os
import re
import socket
import sys
import tempfile
import threading
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec

from sprint import decoding, files, proc
from sprint.clean_text import safe_line
from sprint.config.schema import IndexKind
from sprint.domain import Secret
from sprint.errors import SprintError
from sprint.surroundings import Surroundings

_SECONDS = 20.0
_KEPT_SECONDS = 86_400.0
_NEEDED = re.compile(
    r"(PIP|CARGO|RUSTUP|MAVEN|XDG)_(?!.*TOKEN).*|M2_HOME|JAVA_HOME|GO(PROXY|SUMDB|NOSUMDB|PRIVATE|ENV|PATH|ROOT)"
    r"|(?i:npm_config_(?!.*auth).*|(https?|no)_proxy)|SSL_CERT_(FILE|DIR)|NODE_EXTRA_CA_CERTS|HOME"
)
_log = logging.getLogger(__name__)


class NotTold(SprintError):
    """A client does not say which index it uses; the message is the reason, for a sentence."""


class Told(msgspec.Struct, frozen=True):
    """What a client said: its indexes, the first one first, and what its counterpart inside must know."""

    addresses: tuple[str, ...]
    ca_file: str = ""
    settings: dict[str, str] = {}


@dataclass(frozen=True)
class Machine:
    """Where clients are looked for: the runner's surroundings and cache."""

    around: Surroundings
    cache: Path

    def variables(self) -> dict[str, str]:
        """What of the environment a package manager's client may need, and no more of it."""
        wanted = {name: value for name, value in self.around.environ.items() if _NEEDED.fullmatch(name)}
        return proc.minimal_environment(**{**wanted, "HOME": str(self.around.home)})

    def run(self, *argv: str, cwd: Path = Path("/"), **variables: str) -> str:
        """What a program printed. Raises NotTold where it cannot be run, or fails."""
        try:
            done = proc.run(argv, timeout=_SECONDS, cwd=cwd, env={**self.variables(), **variables})
        except SprintError as error:
            raise NotTold(str(error)) from error
        if not done.ok:
            said = (done.err.strip().splitlines() or [f"exit code {done.exit_code}"])[-1]
            raise NotTold(f"`{' '.join(argv[:3])}` failed: {safe_line(said, 200)}")
        return done.out


Ask = Callable[[Machine, str], Told]


@dataclass(frozen=True)
class Client:
    """A program, how to ask it, and the files of its settings, relative to the home where not absolute."""

    program: str
    ask: Ask
    settings: tuple[str, ...] = field(default=())


def told_by(client: Client, machine: Machine) -> Told:
    """Ask a client, or read what it said before. Raises NotTold."""
    program = proc.find(client.program)
    if program is None:
        raise NotTold(f"{client.program} is not on the PATH")
    kept = machine.cache / "gateway" / f"{client.program}.json"
    key = _state(client, program, machine)
    if (known := _read(kept, key)) is not None:
        return known
    told = client.ask(machine, program)
    if not told.addresses:
        raise NotTold(f"{client.program} is configured to use no index")
    if not any("@" in address for address in told.addresses):  # passwords stay where they are
        _keep(kept, key, told)
    return told


def _state(client: Client, program: str, machine: Machine) -> str:
    """Changes with the client's version, its settings and its variables."""
    parts: list[object] = [sorted(machine.variables().items())]
    for path in (os.path.realpath(program), *client.settings):
        try:
            status = (machine.around.home / path).stat()
            parts.append((str(path), status.st_mtime_ns, status.st_size))
        except OSError:
            parts.append(str(path))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _read(path: Path, key: str) -> Told | None:
    try:
        if time.time() - path.stat().st_mtime > _KEPT_SECONDS:
            return None
        known = json.loads(path.read_bytes())
        return decoding.convert(known["told"], Told) if known["key"] == key else None
    except (OSError, ValueError, TypeError, KeyError, msgspec.ValidationError):
        return None


def _keep(path: Path, key: str, told: Told) -> None:
    try:
        files.make_folder(path.parent)
        data = json.dumps({"key": key, "told": msgspec.to_builtins(told)}).encode()
        files.replace(path, data, durable=False)
    except SprintError as error:
        _log.debug("not kept: %s", error)


# --- one way of asking for each client ---------------------------------------------------------

_PIP_CODE = """
import json
from pip._internal.commands import create_command
options, _ = create_command("install").parser.parse_args([])
print(json.dumps([None if options.no_index else options.index_url, options.extra_index_urls, options.cert]))
"""


def _ask_pip(machine: Machine, program: str) -> Told:
    """Its option parser holds its defaults, its configuration files and its variables together."""
    for python in dict.fromkeys((sys.executable, program, "/usr/bin/python3")):
        try:
            index, extra, cert = json.loads(machine.run(python, "-c", _PIP_CODE))
        except (NotTold, ValueError, TypeError):
            continue
        return Told(tuple(filter(None, [index, *(extra or ())])), cert or "")
    raise NotTold("no Python here has a pip that can be asked")


def _ask_npm(machine: Machine, program: str) -> Told:
    """Its registry, and in `settings["default"]` the one that it has where none is configured."""
    lines = machine.run(program, "config", "get", "registry", "cafile").splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    ca_file = values.get("cafile", "").strip()
    nowhere = Path("/nonexistent")
    plain = Machine(Surroundings({}, nowhere, nowhere), machine.cache)
    unset = (f"--userconfig={nowhere}/user", f"--globalconfig={nowhere}/global")
    default = plain.run(program, "config", "get", "registry", *unset).strip()
    return Told(
        (values.get("registry", "").strip(),),
        ca_file if ca_file.startswith("/") else "",
        settings={"default": default},
    )


def _ask_go(machine: Machine, program: str) -> Told:
    names = ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE")
    said = json.loads(machine.run(program, "env", "-json", *names, GOTOOLCHAIN="local"))
    proxies = [part for part in re.split(r"[,|]", said["GOPROXY"]) if part not in ("", "direct", "off")]
    # A private module's sum is in no public database, whichever of the two variables says so.
    unsummed = said["GONOSUMDB"] or said["GOPRIVATE"]
    return Told(tuple(proxies), settings={"GOSUMDB": said["GOSUMDB"], "GONOSUMDB": unsummed})


def _ask_cargo(machine: Machine, program: str) -> Told:
    replaced = _cargo_replacement(machine)
    if replaced.startswith("sparse+"):
        return Told((replaced.removeprefix("sparse+"),))
    if replaced:
        raise NotTold("its index is no sparse one, and only those can be passed on")
    return Told((_first_request(machine, program),))


def _cargo_replacement(machine: Machine) -> str:
    """What crates.io is replaced with in cargo's own configuration, followed to the end."""
    sources: dict[str, Any] = {}
    home = Path(machine.around.get("CARGO_HOME") or machine.around.home / ".cargo")
    for name in ("config", "config.toml"):
        try:
            sources |= tomllib.loads((home / name).read_text()).get("source", {})
        except (OSError, ValueError, AttributeError):
            continue
    at, registry = "crates-io", ""
    for _ in range(len(sources)):
        source = sources.get(at, {})
        registry = str(source.get("registry", registry))
        if "replace-with" not in source:
            break
        at, registry = str(source["replace-with"]), "another source"
    return registry


_CRATE = '[package]\nname = "ask"\nversion = "0.0.0"\n[lib]\npath = "ask.rs"\n[dependencies]\nask = "*"\n'


def _first_request(machine: Machine, program: str) -> str:
    """Whom cargo wants to speak with when its proxy is a listener of ours."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sprint-ask-")))
        door = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        (folder / "Cargo.toml").write_text(_CRATE)
        (folder / "ask.rs").touch()
        heard: list[bytes] = []
        listening = threading.Thread(target=lambda: heard.extend(_one_request(door)), daemon=True)
        listening.start()
        proxy = f"http://127.0.0.1:{door.getsockname()[1]}"
        why = "cargo asked for no index"
        try:
            home = str(folder / "home")
            machine.run(program, "generate-lockfile", cwd=folder,
                        CARGO_HTTP_PROXY=proxy, CARGO_NET_RETRY="0", CARGO_HOME=home)  # fmt: skip
        except NotTold as error:  # as it must: its proxy hangs up
            why = str(error)
        door.shutdown(socket.SHUT_RDWR)  # who has not come by now does not come any more
        listening.join()
    found = re.match(rb"CONNECT ([a-z0-9.-]+):443 ", b"".join(heard))
    if found is None:
        raise NotTold(why)
    return f"https://{found[1].decode()}"


def _one_request(door: socket.socket) -> Iterator[bytes]:
    door.settimeout(_SECONDS)
    try:
        client, _ = door.accept()
        with client:
            client.settimeout(_SECONDS)
            yield client.recv(4096)
    except OSError:
        return


def _ask_maven(machine: Machine, program: str) -> Told:
    """Its super POM names the central repository; its settings may name a mirror of that."""
    home = Path(os.path.realpath(program)).parent.parent
    jars = sorted((home / "lib").glob("maven-model-builder*.jar"))
    if not jars:
        found = re.search(r"Maven home: (.+)", machine.run(program, "--version"))
        home = Path(found[1].strip()) if found else home
        jars = sorted((home / "lib").glob("maven-model-builder*.jar"))
    for settings in (machine.around.home / ".m2" / "settings.xml", home / "conf" / "settings.xml"):
        if mirror := _maven_mirror(settings):
            return Told((mirror,))
    for jar in jars:
        try:
            with zipfile.ZipFile(jar) as archive:
                names = [name for name in archive.namelist() if re.search(r"/pom-4\.\d\.\d\.xml$", name)]
                pom = archive.read(sorted(names)[0]).decode()
        except (OSError, IndexError, zipfile.BadZipFile, UnicodeDecodeError):
            continue
        if found := re.search(r"<url>\s*(https?://[^<\s]+)\s*</url>", pom):
            return Told((found[1],))
    raise NotTold("mvn has no super POM that can be read")


def _maven_mirror(settings: Path) -> str:
    try:
        root = ET.fromstring(settings.read_text())  # noqa: S314 - the operator's own file
    except (OSError, ValueError, ET.ParseError):
        return ""
    for mirror in root.iterfind(".//{*}mirror"):
        of = [part.strip() for part in (mirror.findtext("{*}mirrorOf") or "").split(",")]
        if "!central" not in of and {"central", "*", "external:*"} & set(of):
            return (mirror.findtext("{*}url") or "").strip()
    return ""


CLIENTS: dict[IndexKind, Client] = {
    "pypi": Client(
        "python3",
        _ask_pip,
        (".config/pip/pip.conf", ".pip/pip.conf", "/etc/pip.conf"),
    ),
    "npm": Client("npm", _ask_npm, (".npmrc", "/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc")),
    "go": Client("go", _ask_go, (".config/go/env",)),
    "crates": Client("cargo", _ask_cargo, (".cargo/config.toml", ".cargo/config")),
    "maven": Client("mvn", _ask_maven, (".m2/settings.xml",)),
}


# --- what lets a client in ---------------------------------------------------------------------


def authorization(machine: Machine, index: str, host: str) -> Secret | None:
    """What the user's own client would show the index at a host: from ~/.netrc, for npm from ~/.npmrc."""
    if index == "npm" and (token := _npm_token(machine.around, host)):
        return token
    try:
        file = machine.around.get("NETRC") or machine.around.home / ".netrc"
        found = netrc.netrc(str(file)).hosts.get(host)
    except (OSError, netrc.NetrcParseError):
        return None
    if found is None:
        return None
    import urllib3

    return Secret(urllib3.make_headers(basic_auth=f"{found[0]}:{found[2]}")["authorization"])


def _npm_token(around: Surroundings, host: str) -> Secret | None:
    parser = configparser.RawConfigParser(
        delimiters=("=",), comment_prefixes=("#", ";"), strict=False, allow_no_value=True
    )
    try:
        parser.read_string("[npmrc]\n" + (around.home / ".npmrc").read_text())
    except (OSError, ValueError, configparser.Error):
        return None
    for key, value in parser["npmrc"].items():
        place, _, what = key.rpartition(":")
        if place.startswith(f"//{host}/") and what in ("_authtoken", "_auth") and value:
            token = re.sub(r"\$\{(\w+)\}", lambda name: around.get(name[1]), value.strip('" '))
            return Secret(f"{'Bearer' if what == '_authtoken' else 'Basic'} {token}")
    return None
