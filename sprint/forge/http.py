"""HTTP to one forge: patience with a limit, pages, and a token that goes to one host only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

import msgspec
import urllib3.exceptions

from sprint import __version__, retries
from sprint.domain import Secret
from sprint.errors import ForgeError
from sprint.forge import http_errors
from sprint.forge.answer import Answer, parse, read_body
from sprint.forge.connections import pool_for, send
from sprint.retries import PassingFault

T = TypeVar("T")
Query = Mapping[str, str | int]
Payload = Mapping[str, str | bool | int | Sequence[str]]

USER_AGENT = f"sprint-backlog-burner/{__version__}"
REDIRECTS = 5
PAGES = 2000
NOT_MODIFIED = 304


class Api:
    """One forge's API below `base`, with one token. Every method raises ForgeError, and nothing else.

    `patience`: seconds that one request may take with all its waiting and repeating. `timeout`: seconds
    without a byte from the server. `token_from` tells the operator where the token came from.
    """

    def __init__(
        self,
        base: str,
        token: Secret | None,
        *,
        scheme: str,
        headers: Mapping[str, str],
        token_from: str = "",
        patience: float = retries.PATIENCE,
        timeout: float = 30.0,
    ) -> None:
        self.base = base.rstrip("/")
        self.host = urlsplit(self.base).netloc
        self._token = token
        self._patience = patience
        self._timeout = timeout
        self._token_from = (token_from or "the token") if token else ""
        self.ahead = timedelta()  # the server's clock of ours, as of its last answer
        self._scheme = scheme
        self._headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **headers}
        self._pool: urllib3.PoolManager | None = None

    def get(self, path: str, query: Query | None = None, *, follow: bool = True) -> Answer:
        """GET `base/path`. Redirects are followed below `base` only, and not at all unless `follow`."""
        return self._patiently("GET", self._url(path), query=query, follow=follow)

    def again(self, answer: Answer) -> Answer:
        """Ask for the same once more; `data` is None, and no limit counts it, where nothing has changed."""
        return self._patiently("GET", answer.url, known=answer.headers.get("ETag", ""))

    def patch(self, path: str, payload: Payload) -> Answer:
        return self._patiently("PATCH", self._url(path), payload=_encodable(payload))

    def delete(self, path: str) -> Answer:
        return self._patiently("DELETE", self._url(path))

    def post(self, path: str, payload: Payload, *, find: Callable[[], Any | None] | None = None) -> Any:
        """POST `payload`; returns the answer's data.

        Where an attempt failed and may have taken effect all the same, `find` looks for what it made, before
        another attempt and at the end: what it finds is returned. Without `find` nothing is repeated then.
        """
        doubt = False

        def attempt() -> Any:
            nonlocal doubt
            if doubt and find is not None and (found := find()) is not None:
                return found
            try:
                return self._once("POST", self._url(path), payload=_encodable(payload)).data
            except PassingFault as fault:
                doubt = doubt or fault.maybe_done
                raise

        try:
            return retries.repeat(attempt, patience=self._patience, even_if_maybe_done=find is not None)
        except ForgeError:
            if doubt and find is not None and (found := find()) is not None:
                return found
            raise

    def text(self, path: str) -> str:
        """What is no JSON, as text. A redirect to elsewhere is followed by TLS to a host with a name, or to
        this one, and without the token."""
        url = self._url(path)
        what = f"{self.host}: GET {path}"
        for _ in range(1 + REDIRECTS):
            try:
                answer = self._sent("GET", url) if self._is_ours(url) else self._strangers(what, url)
                with closing(answer) as response:
                    if response.status in (301, 302, 303, 307, 308):
                        url = _joined(url, response.headers.get("Location", ""))
                        continue
                    body = read_body(response, what, max(self._patience, self._timeout))
            except urllib3.exceptions.HTTPError as error:
                raise http_errors.of_exception(what, error, self._timeout) from error
            if response.status != 200:
                raise ForgeError(f"{what}: answered {response.status}", status=response.status)
            return body.decode("utf-8", "replace")
        raise ForgeError(f"{what}: more than {REDIRECTS} redirects")

    def _sent(
        self, method: str, url: str, body: bytes | None = None, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        """The forge's answer to a request with our token."""
        if self._token:
            headers["Authorization"] = f"{self._scheme} {self._token.reveal()}"
        self._pool = self._pool or pool_for(self.base)
        return send(self._pool, method, url, {**self._headers, **headers}, body=body, timeout=self._timeout)

    def _strangers(self, what: str, url: str) -> urllib3.BaseHTTPResponse:
        """What a host answers that the forge sends us to: it gets no token."""
        scheme, host, _ = _origin(url)
        is_named = scheme == "https" and re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}", host)
        if not is_named and host != urlsplit(self.base).hostname:
            raise ForgeError(f"{what}: sends us on to {http_errors.clean(host, 100)}, which is not followed")
        return send(pool_for(url), "GET", url, {"User-Agent": USER_AGENT}, timeout=self._timeout)

    def pages(self, path: str, query: Query) -> Iterator[Answer]:
        """The pages of a list, asked for as they are used; each next one is what Link names."""
        answer = self.get(path, query)
        been = {answer.url}
        while True:
            yield answer
            link = answer.link("next")
            if not link:
                return
            url = self._own(link, answer.url)
            if url in been or len(been) >= PAGES:
                raise ForgeError(f"{self.host}: the pages of {path} do not end; is a proxy in the way?")
            been.add(url)
            answer = self._patiently("GET", url)

    def _url(self, path: str) -> str:
        return f"{self.base}/{path}"

    def _own(self, link: str, current: str) -> str:
        """`link` on our own base: a server that thinks it has another address still means itself.

        Only the query is taken from a link elsewhere, so that the token stays where it belongs.
        """
        url = _joined(current, link)
        if self._is_ours(url):
            return url
        here = urlsplit(current)
        return urlunsplit((here.scheme, here.netloc, here.path, urlsplit(url).query, ""))

    def _is_ours(self, url: str) -> bool:
        base = urlsplit(self.base)
        return _origin(url) == _origin(self.base) and urlsplit(url).path.startswith(base.path + "/")

    def _patiently(self, method: str, url: str, **more: Any) -> Answer:
        return retries.repeat(lambda: self._once(method, url, **more), patience=self._patience)

    def _once(
        self,
        method: str,
        url: str,
        *,
        query: Query | None = None,
        payload: Any = None,
        follow: bool = True,
        known: str = "",
    ) -> Answer:
        redirected = False
        for _ in range(1 + REDIRECTS):
            # The path as the operator knows it: without the query, which may be long.
            what = f"{self.host}: {method} {urlsplit(url).path.removeprefix(urlsplit(self.base).path + '/')}"
            try:
                status, asked, headers, body = self._exchange(method, url, query, payload, known, what)
                if at_server := retries.date(headers.get("Date")):
                    self.ahead = at_server - datetime.now(UTC)
            except urllib3.exceptions.HTTPError as error:
                raise http_errors.of_exception(what, error, self._timeout) from error
            if status in (301, 302, 303, 307, 308):
                url = self._redirected(what, method, asked, status, headers, follow)
                query = None if urlsplit(url).query else query
                redirected = True
                continue
            data = parse(body, what, status)
            if status >= 300 and not (known and status == NOT_MODIFIED):
                message = http_errors.server_message(data, self._token)
                raise http_errors.of_answer(what, status, headers, message, token=self._token_from)
            return Answer(status, asked, headers, data, redirected)
        raise ForgeError(f"{what}: more than {REDIRECTS} redirects")

    def _exchange(
        self, method: str, url: str, query: Query | None, payload: Any, known: str, what: str
    ) -> tuple[int, str, Mapping[str, str], bytes]:
        headers = {"If-None-Match": known} if known else {}
        if payload is not None:
            headers["Content-Type"] = "application/json"
        asked = f"{url}?{urlencode(query)}" if query else url
        body = msgspec.json.encode(payload) if payload is not None else None
        with closing(self._sent(method, asked, body, **headers)) as response:
            read = read_body(response, what, max(self._patience, self._timeout))
            return response.status, asked, response.headers, read

    def _redirected(
        self, what: str, method: str, url: str, status: int, headers: Mapping[str, str], follow: bool
    ) -> str:
        target = _joined(url, headers.get("Location", ""))
        if _origin(target) != _origin(self.base):
            elsewhere = "{}://{}:{}".format(*_origin(target))
            raise ForgeError(
                f"{what}: sends us on to {http_errors.clean(elsewhere, 100)}, where the token must not go;"
                " if that is the forge's real address, put it into the configuration",
                status=status,
            )
        if not self._is_ours(target):
            raise ForgeError(
                f"{what}: sends us on to {http_errors.clean(urlsplit(target).path, 100)}, which is not its "
                "API; check the url, and whether a login page is in the way",
                status=status,
            )
        if not follow or (status == 303 and method != "GET"):
            raise ForgeError(f"{what}: moved ({status}), which is not followed here", status=status)
        return target


def _joined(current: str, link: str) -> str:
    """The address that `link` means on the page `current`; "" where it means none."""
    try:
        url = urljoin(current, link)
        return url if urlsplit(url).port != 0 else ""
    except ValueError:
        return ""


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return (parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme))


def _encodable(payload: Payload) -> Payload:
    """Without the lone surrogates that a model can put into a text and UTF-8 cannot hold."""
    return {
        key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for key, value in payload.items()
    }
