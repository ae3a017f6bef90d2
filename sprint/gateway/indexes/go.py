"""Go's module proxy protocol, with the checksum database behind /sumdb/."""

from __future__ import annotations

import re
from urllib.parse import unquote

from sprint.gateway.exchange import Exchange, Refused
from sprint.gateway.index import Found, Index
from sprint.gateway.upstream import site

_PATH = r"[A-Za-z0-9!._~-]+(?:/[A-Za-z0-9!._~-]+)*"
_VERSION = r"v[A-Za-z0-9!.+_~-]+"
_MODULE = re.compile(
    rf"/(?P<module>{_PATH})/@(?:latest|v/(?:list|(?P<version>[\w!.+~-]+)\.(?:info|mod|zip)))"
)
_SUMS = re.compile(
    r"/sumdb/(?P<database>[a-z0-9.-]+)/"
    rf"(?:supported|latest|lookup/(?P<module>{_PATH})@(?P<version>{_VERSION})"
    r"|tile/\d+/(?:data|\d+)/(?:x\d{3}/)*\d{3}(?:\.p/\d+)?)"
)


def environment(address: str, found: Found) -> dict[str, str]:
    sums = found.settings.get("GOSUMDB", "")
    unsummed = found.settings.get("GONOSUMDB", "")
    variables = {"GOPROXY": address, "GONOPROXY": "none", "GOPRIVATE": "", "GONOSUMDB": unsummed}
    return {**variables, "GOSUMDB": sums.partition(" ")[0]} if sums else variables


def home_files(address: str) -> dict[str, str]:
    return {}


def serve(exchange: Exchange, index: Index) -> None:
    path = unquote(exchange.path)  # go writes %21 for the ! that stands before what was a capital
    if sums := _SUMS.fullmatch(path):
        _serve_sums(exchange, index, path, sums)
        return
    asked = _MODULE.fullmatch(path)
    if asked is None:
        raise Refused(404, "this proxy has modules and the checksum database, nothing else")
    module, version = asked["module"], asked["version"] or ""
    _allow(index, module, version)
    note = None if version else lambda body, response, site: _noted(body, index, _unescaped(module))
    for place in index.sites[:-1]:  # the next one is for what this one does not have
        if index.ask(place, f"{place.url}{_small(path)}")[0] not in (404, 410):
            index.forward(exchange, path, site=place, rewrite=note)
            return
    index.forward(exchange, path, site=index.sites[-1], rewrite=note)


def _small(path: str) -> str:
    """What tells whether a proxy has a module, without its sources."""
    return f"{path.removesuffix('.zip')}.info" if path.endswith(".zip") else path


def _noted(body: bytes, index: Index, module: str) -> bytes:
    """The answer as it is; the versions in it may then be asked for."""
    for version in re.findall(rb"\bv\d[\w.+-]*", body):
        index.offer(module, version.decode())
    return body


def _serve_sums(exchange: Exchange, index: Index, path: str, sums: re.Match[str]) -> None:
    """From the proxy where it passes the database on, else from the host that the database is named after."""
    name, _, address = index.settings.get("GOSUMDB", "").partition(" ")
    if sums["database"] != name.partition("+")[0]:
        raise Refused(404, "this machine's go uses another checksum database, or none")
    if sums["module"]:
        _allow(index, sums["module"], sums["version"])
    direct = site(address or f"https://{sums['database']}")
    if index.remember("passes sums on", lambda: _passes_on(index, sums["database"])):
        index.forward(exchange, path)
    elif path.endswith("/supported"):
        exchange.answer(200, b"")
    else:
        rest = path.removeprefix(f"/sumdb/{sums['database']}")
        index.forward_url(exchange, direct, f"{direct.url}{rest}")


def _passes_on(index: Index, database: str) -> bool:
    proxy = index.sites[0]
    return index.ask(proxy, f"{proxy.url}/sumdb/{database}/supported")[0] == 200


def _allow(index: Index, module: str, version: str) -> None:
    """Raises Refused for modules of hosts that nobody named: a proxy fetches from wherever it is told to."""
    module, version = _unescaped(module), _unescaped(version)
    host = module.partition("/")[0]
    if host not in index.remember("hosts", index.locked.go_hosts) and host not in index.config.go_hosts:
        raise Refused(
            403,
            "modules of this host are not let through: neither go.mod and go.sum at the base "
            "nor gateway.go_hosts name it",
        )
    index.allow(module, version)


def _unescaped(path: str) -> str:
    """`!a` stands for `A`, so that file systems without case can hold it."""
    return re.sub(r"!([a-z])", lambda letter: letter[1].upper(), path)
