"""Which repositories of which forges a checkout's git remotes are."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sprint.clean_text import safe_line
from sprint.config import ForgeConfig
from sprint.domain import is_repo_name
from sprint.git import git

_SCHEMES = frozenset({"http", "https", "ssh", "git", "git+ssh", "ssh+git"})
_SCP = re.compile(r"(?:[^@/:\s]+@)?(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):(?P<path>(?!//).+)")
_DEFAULT_PORTS = {"http": 80, "https": 443}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where a remote is, without the credentials that its address may hold. `port` None for SSH."""

    host: str
    port: int | None
    path: str


@dataclass(frozen=True)
class FoundRepo:
    """A remote's repository, OWNER/REPO; `forge` is the forge's name, "" where its host is none of them."""

    remote: str
    name: str
    forge: str
    host: str


def found_repos(directory: Path, forges: Mapping[str, ForgeConfig]) -> list[FoundRepo]:
    """The repositories of a checkout's remotes, `origin` first, none twice."""
    repos: dict[tuple[str, str], FoundRepo] = {}
    for remote, url in sorted(_remotes(directory), key=lambda pair: pair[0] != "origin"):
        place = place_of(url)
        repo = _repo(remote, place, forges) if place else None
        if repo is not None:
            repos.setdefault((repo.host, repo.name.lower()), repo)
    return list(repos.values())


def _remotes(directory: Path) -> list[tuple[str, str]]:
    """Name and address of each; what the checkout's configuration includes from elsewhere is not read."""
    git_dir = directory / ".git"
    if not git_dir.exists():
        return []
    query = ("config", "--local", "--no-includes", "-z", "--get-regexp", r"^remote\..*\.url$")
    done = git(*query, git_dir=git_dir, check=False)
    if not done.ok and done.err.strip():
        _log.warning("%s: its remotes cannot be read: %s", git_dir, safe_line(done.err))
    pairs = (record.partition("\n") for record in done.out.split("\0") if record)
    return [(key.removeprefix("remote.").removesuffix(".url"), url) for key, _, url in pairs]


def place_of(url: str) -> Place | None:
    """Where an address leads, in any of git's forms; None for a path on this machine and the like."""
    if "://" not in url:
        match = _SCP.fullmatch(url)
        return Place(match["host"].strip("[]").lower(), None, match["path"]) if match else None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _SCHEMES or not host:
        return None
    is_web = parts.scheme in _DEFAULT_PORTS
    return Place(host, (port or _DEFAULT_PORTS[parts.scheme]) if is_web else None, parts.path)


def _repo(remote: str, place: Place, forges: Mapping[str, ForgeConfig]) -> FoundRepo | None:
    for forge, config in forges.items():
        path = _path_on(place, config)
        if path is not None and is_repo_name(path):
            return FoundRepo(remote, path, forge, place.host)
    path = _bare(place.path)
    return FoundRepo(remote, path, "", place.host) if is_repo_name(path) else None


def _path_on(place: Place, forge: ForgeConfig) -> str | None:
    """What comes after the forge's own address; None where the remote is not on it."""
    if not forge.url:
        host = re.sub(r"^(www|ssh)\.", "", place.host)
        return _bare(place.path) if host == urlsplit(forge.site).hostname else None
    base = urlsplit(forge.url)
    standard = set(_DEFAULT_PORTS.values())
    port = base.port or _DEFAULT_PORTS[base.scheme]
    if place.host != base.hostname:
        return None
    if place.port is None:
        return _bare(place.path)
    if place.port != port and not {place.port, port} <= standard:
        return None
    prefix = f"{base.path.rstrip('/')}/"
    return _bare(place.path.removeprefix(prefix)) if place.path.startswith(prefix) else None


def _bare(path: str) -> str:
    return path.strip("/").removesuffix(".git")
