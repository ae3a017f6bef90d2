"""The way from the gateway to a server outside: only what is said here is sent, and no redirect unseen.

urllib3 alone, without requests: it streams undecoded bytes as they come, and takes nothing (cookies, netrc,
redirects, headers) from the runner's surroundings that is not named here.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import urllib3
from urllib3.response import BaseHTTPResponse

from sprint import __version__
from sprint.domain import Secret
from sprint.errors import SprintError

CONNECT_SECONDS = 15.0
READ_SECONDS = 60.0
_REDIRECTS = 5
_CHUNK = 262_144
_MOVED = (301, 302, 303, 307, 308)


class Unanswered(SprintError):
    """A server outside gave no answer that can be passed on."""


@dataclass(frozen=True)
class Site:
    """A server's base address, without a final slash, and what is sent to it, and to it alone, to get in."""

    url: str
    authorization: Secret | None = None

    @property
    def origin(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


def site(address: str) -> Site:
    """A Site from an address that may hold user and password, which the Site's own does not."""
    parts = urlsplit(address)
    netloc = parts.netloc.rpartition("@")[2].lower()
    url = urlunsplit((parts.scheme.lower(), netloc, parts.path.rstrip("/"), "", ""))
    if not parts.username:
        return Site(url)
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Site(url, Secret(urllib3.make_headers(basic_auth=pair)["authorization"]))


class Outside:
    """Connections to servers outside, kept open for reuse; for all threads of one gateway.

    `environ` is the runner's own, for its proxy (`https_proxy`, `http_proxy`, `no_proxy`) and certificates
    (`SSL_CERT_FILE`).
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._proxies = {
            name.lower().removesuffix("_proxy"): value
            for name, value in environ.items()
            if name.lower().endswith("_proxy") and value
        }
        self._environ = environ
        self._ca_files: list[str] = []
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def trust(self, ca_file: str) -> None:
        """Trust the authorities in a file besides those of this machine, from the next connection on."""
        with self._lock:
            if ca_file and ca_file not in self._ca_files:
                self._ca_files.append(ca_file)
                self._pools.clear()

    def close(self) -> None:
        for pool in self._pools.values():
            pool.clear()

    @contextlib.contextmanager
    def get(
        self, place: Site, url: str, headers: Mapping[str, str], *, method: str = "GET"
    ) -> Iterator[BaseHTTPResponse]:
        """GET or HEAD, redirects followed to the site itself and to https elsewhere.

        The body is not read yet. Raises Unanswered.
        """
        for _ in range(_REDIRECTS):
            response = self._request(place, method, url, headers)
            location = response.headers.get("location")
            if response.status not in _MOVED or not location:
                break
            response.drain_conn()
            response.release_conn()
            url = urljoin(url, location)
        else:
            raise Unanswered("the index redirects without end")
        try:
            yield response
        finally:
            response.close()  # what has been read to its end keeps its connection

    def _request(self, place: Site, method: str, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        if not may_follow(place, url):
            raise Unanswered("the index points to an address that is not followed")
        sent = {"user-agent": f"sprint-gateway/{__version__}", "accept-encoding": "identity", **headers}
        if place.authorization and _origin(url) == place.origin:
            sent["authorization"] = place.authorization.reveal()
        try:
            return self._pool(url).request(
                method,
                url,
                headers=sent,
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=urllib3.Retry(connect=1, read=1, redirect=False, status=False, other=0),
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            )
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise Unanswered(_reason(error)) from error

    def _pool(self, url: str) -> urllib3.PoolManager:
        """The pool for an address: through the runner's proxy where it has one for that."""
        parts = urlsplit(url)
        proxy = self._proxies.get(parts.scheme) or self._proxies.get("all") or ""
        bypass = {"no": self._proxies["no"]} if "no" in self._proxies else {}
        if proxy and proxy_bypass_environment(parts.netloc, bypass):
            proxy = ""
        with self._lock:
            if proxy not in self._pools:
                self._pools[proxy] = self._new_pool(proxy)
            return self._pools[proxy]

    def _new_pool(self, proxy: str) -> urllib3.PoolManager:
        context = trusting(self._environ, self._ca_files)
        if not proxy:
            return urllib3.PoolManager(num_pools=16, maxsize=32, ssl_context=context)
        at = site(proxy if "://" in proxy else f"http://{proxy}")
        headers = {"proxy-authorization": at.authorization.reveal()} if at.authorization else None
        return urllib3.ProxyManager(
            at.url, num_pools=16, maxsize=32, ssl_context=context, proxy_headers=headers
        )


def trusting(environ: Mapping[str, str], ca_files: Sequence[str]) -> ssl.SSLContext:
    """Trusts what this machine trusts, which a company's own authority is part of, and `ca_files`."""
    own = ssl.get_default_verify_paths()
    named = environ.get("SSL_CERT_FILE")
    context = ssl.create_default_context(cafile=named if named and Path(named).is_file() else None)
    if not (named or own.cafile or own.capath):
        import certifi  # what requests brings along, for systems without a store of their own

        context.load_verify_locations(certifi.where())
    for path in ca_files:
        with contextlib.suppress(OSError):  # a client's setting may outlive its file
            context.load_verify_locations(path)
    return context


def may_follow(place: Site, url: str) -> bool:
    """Whether a link or redirect of a site's may be followed: to itself, or by https to a host by name."""
    parts = urlsplit(url)
    if _origin(url) == place.origin:
        return "@" not in parts.netloc
    host = parts.hostname or ""
    is_name = "." in host and not host.replace(".", "").isdecimal() and ":" not in host
    return parts.scheme == "https" and is_name and parts.netloc.lower() in (host, f"{host}:443")


def pieces(response: BaseHTTPResponse) -> Iterator[bytes]:
    """The body as it comes. Raises Unanswered where it breaks off."""
    try:
        while data := response.read1(_CHUNK, decode_content=False):
            yield data
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unanswered(_reason(error)) from error


def whole(response: BaseHTTPResponse, cap: int) -> bytes:
    """The whole body, decompressed. Raises Unanswered where it is longer than `cap` bytes, or breaks off."""
    try:
        data = response.read(cap + 1, decode_content=True)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unanswered(_reason(error)) from error
    if len(data) > cap:
        raise Unanswered(f"an answer of more than {cap // 1_000_000} MB")
    return data


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _reason(error: Exception) -> str:
    """What went wrong, for the operator: the innermost cause."""
    cause = error
    while (inner := getattr(cause, "reason", None) or cause.__cause__) and isinstance(inner, Exception):
        cause = inner
    return f"{type(cause).__name__}: {cause}"
