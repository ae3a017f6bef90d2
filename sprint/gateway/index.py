"""One package index for one run: read only, by name, and by the rules of its kind."""

from __future__ import annotations

import base64
import hmac
import logging
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import unquote, urlsplit, urlunsplit

from urllib3.response import BaseHTTPResponse

from sprint.config import GatewayConfig
from sprint.gateway.exchange import Exchange, Refused
from sprint.gateway.journal import Journal
from sprint.gateway.lockfiles import Locked
from sprint.gateway.upstream import Outside, Site, Unanswered, pieces, whole

METADATA_BYTES = 64_000_000
_KEPT_HEADERS = ("content-type", "etag", "last-modified", "cache-control", "content-range", "accept-ranges")
_RANGE = re.compile(r"bytes=\d{0,15}-\d{0,15}")
_FILE = re.compile(r"/file/(?P<signature>[0-9a-f]{32})/(?P<address>[\w-]+)/(?P<name>[\w.+!%~-]{1,250})")
_LONGEST_NAME = 214
OFFERS_PER_NAME = 10  # names that an index itself has offered, for each that a run may ask for of its own

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """Where an index is, the first site first; `off` is why it is nowhere."""

    sites: tuple[Site, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    off: str = ""


class Rules(Protocol):
    """A kind of index."""

    def environment(self, address: str, found: Found) -> dict[str, str]:
        """The variables that point the kind's clients at `address`."""
        ...

    def home_files(self, address: str) -> dict[str, str]:
        """Settings for clients that read no variable: paths below HOME, and their text."""
        ...

    def serve(self, exchange: Exchange, index: Index) -> None:
        """Answer by `index.forward` and its like. Raises Refused."""
        ...


class Index:
    """What a kind's rules may ask, allow and pass on. `address` is the index's own inside the sandbox."""

    def __init__(
        self,
        name: str,
        rules: Rules,
        found: Found,
        *,
        address: str,
        outside: Outside,
        journal: Journal,
        locked: Locked,
        config: GatewayConfig,
    ) -> None:
        self.name = name
        self.address = address
        self.locked = locked
        self.config = config
        self.settings = found.settings
        self._rules = rules
        self._found = found
        self._outside = outside
        self._journal = journal
        self._key = secrets.token_bytes(32)
        self._offered: set[int] = set()
        self._taken: set[str] = set()  # of those, what was asked for
        self._remembered: dict[str, Any] = {}

    # --- what the server calls

    def serve(self, exchange: Exchange) -> None:
        try:
            exchange.check_path()
            if exchange.method not in ("GET", "HEAD"):
                raise Refused(405, "package indexes can only be read here")
            if exchange.headers.get("content-length", "0") != "0" or "transfer-encoding" in exchange.headers:
                raise Refused(400, "a request for a package has no body")
            if file := _FILE.fullmatch(exchange.path):
                self._forward_file(exchange, file)
            else:
                self._rules.serve(exchange, self)
        except Refused as refusal:
            if refusal.status not in (404, 502):
                self._journal.refused(self.name, f"{exchange.method} {exchange.target}", refusal.reason)
            raise

    # --- what rules call

    @property
    def sites(self) -> tuple[Site, ...]:
        """Raises Refused where the index is off."""
        if not self._found.sites:
            raise Refused(403, f"{self._found.off}; gateway.indexes.{self.name} sets its address")
        return self._found.sites

    def remember(self, what: str, find: Callable[[], _T]) -> _T:
        """What `find` returned when it was first asked for."""
        if what not in self._remembered:
            self._remembered[what] = find()
        return cast(_T, self._remembered[what])

    def allow(self, name: str, version: str = "") -> None:
        """Raises Refused where a name (or a version of it) is one too many that nobody has named before.

        Named are those of the lock files, and what an answer of the index itself has offered in this run.
        """
        if len(name) > _LONGEST_NAME or len(version) > _LONGEST_NAME:
            raise Refused(403, "the name is too long for a package")
        if self.locked.has(self.name, name, version):
            return
        asked = f"{name}@{version}" if version else name
        if self.is_offered(name, version) and self._is_among_the_first(asked):
            return
        if not self._journal.name(self.name, asked, self.config.names):
            raise Refused(
                403,
                f"this run has asked for {self.config.names} packages that its lock files do not have; "
                "gateway.names allows more",
            )

    def _is_among_the_first(self, asked: str) -> bool:
        """Whoever publishes a package may have it depend on any number of names, to hear which are asked."""
        if asked not in self._taken and len(self._taken) < OFFERS_PER_NAME * self.config.names:
            self._taken.add(asked)
        return asked in self._taken

    def offer(self, name: str, version: str = "") -> None:
        """Note that the index itself named a version of a package."""
        self._offered.add(hash((name, version)))

    def is_offered(self, name: str, version: str = "") -> bool:
        return hash((name, version)) in self._offered

    def link(self, url: str) -> str:
        """An address of ours for a file that the index links to, good for this run only."""
        parts = urlsplit(url)
        bare = urlunsplit((parts.scheme, parts.netloc, parts.path, parts.query, ""))
        address = base64.urlsafe_b64encode(bare.encode()).rstrip(b"=").decode()
        fragment = f"#{parts.fragment}" if parts.fragment else ""
        name = parts.path.rpartition("/")[2]
        return f"{self.address}/file/{self._signature(address)}/{address}/{name}{fragment}"

    def forward(
        self,
        exchange: Exchange,
        path: str,
        *,
        site: Site | None = None,
        accept: str = "*/*",
        rewrite: Callable[[bytes, BaseHTTPResponse, Site], bytes] | None = None,
    ) -> None:
        """Pass on what a site (the first one) has at a path below its address, a file unless rewritten."""
        place = site or self.sites[0]
        self.forward_url(exchange, place, f"{place.url}{path}", accept=accept, rewrite=rewrite)

    def forward_url(
        self,
        exchange: Exchange,
        place: Site,
        url: str,
        *,
        accept: str = "*/*",
        rewrite: Callable[[bytes, BaseHTTPResponse, Site], bytes] | None = None,
    ) -> None:
        headers = {"accept": accept}
        if rewrite is not None:
            headers["accept-encoding"] = "gzip"
        elif _RANGE.fullmatch(exchange.headers.get("range", "")):
            headers["range"] = exchange.headers["range"]
        method = "GET" if rewrite else exchange.method
        try:
            with self._outside.get(place, url, headers, method=method) as response:
                _pass_on(exchange, response, place, rewrite)
        except Unanswered as error:
            self._journal.unanswered(self.name, url, str(error))
            raise Refused(502, "the package index did not answer as one does") from error

    def ask(self, place: Site, url: str, accept: str = "*/*") -> tuple[int, bytes]:
        """Status and body of a small answer. Raises Refused where there is none."""
        try:
            with self._outside.get(place, url, {"accept": accept}) as response:
                return response.status, whole(response, METADATA_BYTES)
        except Unanswered as error:
            self._journal.unanswered(self.name, url, str(error))
            raise Refused(502, "the package index did not answer as one does") from error

    def _forward_file(self, exchange: Exchange, file: re.Match[str]) -> None:
        if not hmac.compare_digest(self._signature(file["address"]), file["signature"]):
            raise Refused(403, "no index of this run links to that file")
        address = file["address"]
        url = base64.urlsafe_b64decode(address + "=" * (-len(address) % 4)).decode()
        parts = urlsplit(url)
        if unquote(file["name"]) == unquote(f"{parts.path.rpartition('/')[2]}.metadata"):
            url = urlunsplit(parts._replace(path=f"{parts.path}.metadata"))
        elif unquote(file["name"]) != unquote(parts.path.rpartition("/")[2]):
            raise Refused(403, "no index of this run links to that file")
        owner = next((one for one in self.sites if url.startswith(f"{one.origin}/")), self.sites[0])
        self.forward_url(exchange, owner, url)

    def _signature(self, address: str) -> str:
        return hmac.new(self._key, f"{self.name} {address}".encode(), "sha256").hexdigest()[:32]


def _pass_on(
    exchange: Exchange,
    response: BaseHTTPResponse,
    place: Site,
    rewrite: Callable[[bytes, BaseHTTPResponse, Site], bytes] | None,
) -> None:
    status = response.status
    if status not in (200, 206):
        _pass_on_failure(exchange, response)
        return
    kept = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    if rewrite is not None:
        body = rewrite(whole(response, METADATA_BYTES), response, place)
        exchange.answer(status, body, {**kept, "accept-ranges": "none"})
        return
    for name in ("content-length", "content-encoding"):
        if name in response.headers:
            kept[name] = response.headers[name]
    exchange.stream(status, kept, pieces(response) if exchange.method == "GET" else ())


def _pass_on_failure(exchange: Exchange, response: BaseHTTPResponse) -> None:
    """A status that clients understand; the index's own words only where they are about the package."""
    status = response.status if 400 <= response.status < 500 else 502
    if status in (401, 403, 407):
        _log.warning("gateway: the package index refuses this machine: HTTP %s", response.status)
        status = 403
    words = b"not found\n" if status in (404, 410) else b"the package index refused\n"
    exchange.answer(status, words)
