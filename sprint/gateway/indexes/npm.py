"""npm's registry, for npm, pnpm, yarn and corepack: packages' metadata and tarballs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

import msgspec
from urllib3.response import BaseHTTPResponse

from sprint.gateway.exchange import Exchange, Refused
from sprint.gateway.index import Found, Index
from sprint.gateway.upstream import Site

_ABBREVIATED = "application/vnd.npm.install-v1+json"
_NAME = r"(?:@[a-z0-9~_-][a-z0-9._~-]*/)?[A-Za-z0-9~][A-Za-z0-9._~-]*"
_PACKAGE = re.compile(rf"/(?P<name>{_NAME})(?:/(?P<version>[A-Za-z0-9][A-Za-z0-9.+_~^-]*))?")
_TARBALL = re.compile(rf"/(?P<name>{_NAME})/-/(?P<file>[A-Za-z0-9@._+~-]+\.tgz)")
_ALIAS = re.compile(rf"npm:({_NAME})@.*")
_DEPENDENCIES = ("dependencies", "optionalDependencies", "peerDependencies")
_LINK = re.compile(rb'("tarball"\s*:\s*)("(?:[^"\\]|\\.)*")')


def environment(address: str, found: Found) -> dict[str, str]:
    # npm puts our host in place of its own registry's by itself, and of any other's where it is told to: that
    # takes in dependencies by address as well, so only for a mirror.
    own = found.settings.get("default", "").rstrip("/")
    is_mirror = any(site.url != own for site in found.sites)
    return {
        "npm_config_registry": f"{address}/",
        "npm_config_replace_registry_host": "always" if is_mirror else "npmjs",
        "npm_config_audit": "false",  # it posts what is installed
        "COREPACK_NPM_REGISTRY": address,
        "YARN_REGISTRY": f"{address}/",
        "YARN_NPM_REGISTRY_SERVER": address,
        "YARN_UNSAFE_HTTP_WHITELIST": "127.0.0.1",
        "YARN_ENABLE_TELEMETRY": "0",
    }


def home_files(address: str) -> dict[str, str]:
    return {}


def serve(exchange: Exchange, index: Index) -> None:
    site = index.sites[0]
    path = unquote(exchange.path)
    # npm puts our host in place of a lock file's, and leaves the path that the user's registry has there.
    prefix = urlsplit(site.url).path
    path = path.removeprefix(prefix) if prefix and path.startswith(f"{prefix}/") else path
    if tarball := _TARBALL.fullmatch(path):
        name, file = tarball["name"], tarball["file"]
        index.allow(name, _version(name, file))
        index.forward(exchange, f"/{name}/-/{file}")
    elif package := _PACKAGE.fullmatch(path):
        name, version = package["name"], package["version"] or ""
        index.allow(name, version)
        is_abbreviated = _ABBREVIATED in exchange.headers.get("accept", "")
        agent = re.match(r"npm/(\d+)", exchange.headers.get("user-agent", ""))
        keeps_links = agent is not None and int(agent[1]) >= 8
        index.forward(
            exchange,
            f"/{name.replace('/', '%2F')}{f'/{version}' if version else ''}",
            accept=f"{_ABBREVIATED}, application/json;q=0.8" if is_abbreviated else "application/json",
            rewrite=lambda body, response, site: _rewritten(body, response, site, index, keeps_links),
        )
    else:
        raise Refused(404, "this registry has packages and their tarballs, nothing else")


def _version(name: str, file: str) -> str:
    return file.removesuffix(".tgz").removeprefix(f"{name.rpartition('/')[2]}-")


def _rewritten(body: bytes, response: BaseHTTPResponse, site: Site, index: Index, keeps_links: bool) -> bytes:
    """Metadata whose tarballs are fetched through the gateway.

    npm itself replaces the host of what it fetches (replace-registry-host) and writes the true address into
    the lock file: it is left that one, so that no address of the sandbox gets into a commit.
    """

    def link(found: re.Match[bytes]) -> bytes:
        url = str(json.loads(found[2]))
        path = url.removeprefix(site.url)
        standard = _TARBALL.fullmatch(unquote(path)) if path != url else None
        if standard is None:
            return found[1] + json.dumps(index.link(url)).encode()
        index.offer(standard["name"], _version(standard["name"], standard["file"]))
        if keeps_links:
            return found[0]
        return found[1] + json.dumps(f"{index.address}{path}").encode()

    for name in _depended_on(body):
        index.offer(name)
    return _LINK.sub(link, body)


def _depended_on(body: bytes) -> Iterator[str]:
    """What a package depends on in any of its versions: without a lock file nothing else says it."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return
    versions = told.get("versions", {"": told}) if isinstance(told, dict) else {}
    for version in versions.values() if isinstance(versions, dict) else ():
        for kind in _DEPENDENCIES:
            named = version.get(kind) if isinstance(version, dict) else None
            for name, wanted in named.items() if isinstance(named, dict) else ():
                alias = _ALIAS.fullmatch(wanted) if isinstance(wanted, str) else None
                yield alias[1] if alias else name
