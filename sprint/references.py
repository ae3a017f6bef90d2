"""What people paste to name an issue or a run: OWNER/REPO#N, an address on the forge, a run's name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from sprint.clean_text import safe_line
from sprint.config import Config
from sprint.domain import Run
from sprint.errors import ConfigError
from sprint.runs import RunStore

_SHORT = re.compile(r"(?P<repo>[^#\s]+)#(?P<number>[1-9][0-9]{0,17})")
_PLACE = re.compile(r"/?(?P<repo>[^/]+/[^/]+)/(?P<kind>issues|pulls?)/(?P<number>[1-9][0-9]{0,17})(?:/.*)?")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Reference:
    """An issue or a pull request. `forge` is a name of the configuration, "" where it was not said."""

    repo: str
    number: int
    forge: str = ""
    is_pull: bool = False

    @property
    def repo_name(self) -> str:
        """As `config.resolve` takes it."""
        return f"{self.forge}:{self.repo}" if self.forge else self.repo


def parse(config: Config, text: str) -> Reference | None:
    """The issue or pull request that a text names, None where it names none.

    Raises ConfigError for an address that is none of an issue, or on no forge of the configuration.
    """
    if "://" not in text:
        short = _SHORT.fullmatch(text)
        return Reference(short["repo"], int(short["number"])) if short else None
    address = _split(text)
    for name, forge in config.forges.items():
        site = _split(forge.site)
        path = site.path.rstrip("/")
        if _server(site) == _server(address) and address.path.startswith(f"{path}/"):
            place = _PLACE.fullmatch(address.path[len(path) :])
            if place is None:
                raise ConfigError(f"{safe_line(text)}: no address of an issue or a pull request")
            is_pull = place["kind"] != "issues"
            return Reference(place["repo"], int(place["number"]), name, is_pull)
    sites = ", ".join(forge.site for forge in config.forges.values()) or "none"
    raise ConfigError(f"{safe_line(text)}: on no forge of the configuration ({sites}); write OWNER/REPO#N")


def issue(config: Config, text: str) -> Reference | None:
    """The same where only an issue will do. Raises ConfigError for a pull request."""
    found = parse(config, text)
    if found and found.is_pull:
        raise ConfigError(f"{safe_line(text)} is a pull request; name the issue that it is for")
    return found


def run(config: Config, store: RunStore, text: str) -> Run:
    """The run that a person means: see RunStore.find, and by address the newest at that issue, or for that
    pull request. Raises SprintError where nothing or more than one thing is meant."""
    found = parse(config, text) if "://" in text else None
    if found is None:
        return store.find(text)
    return store.newest(
        safe_line(text),
        lambda run: (
            (run.forge, run.repo.lower()) == (found.forge, found.repo.lower())
            and found.number == (run.pr_number if found.is_pull else run.issue)
        ),
    )


def _split(address: str) -> SplitResult:
    try:
        split = urlsplit(address.strip())
        _ = split.port
    except ValueError:
        raise ConfigError(f"{safe_line(address)}: no address") from None
    return split


def _server(address: SplitResult) -> tuple[str, int | None]:
    return (address.hostname or "", address.port or _PORTS.get(address.scheme))
