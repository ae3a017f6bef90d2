"""Who may ask, and what every answer carries: it stands before everything that is served."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sprint.domain import Secret
from sprint.monitor.html.page import script_hash, style_hash

LOGIN = "/login"
_OPEN = (LOGIN, "/healthz")  # to whoever has no token
_COOKIE = "sprint-session"
_COOKIE_SECONDS = 30 * 86_400


def policy() -> str:
    """The content security policy of every page: our scripts, our style, nothing else from nowhere else."""
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{script_hash()}'; style-src 'sha256-{style_hash()}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


class Guard:
    """Refuses names that are not this server's (a name that an attacker's DNS points here gets nothing), and,
    where there is a token, whoever does not have it. `names` are those it answers to besides bare addresses:
    no DNS can make those anybody else's.
    """

    def __init__(self, app: ASGIApp, token: Secret | None, names: Collection[str]) -> None:
        self._app = app
        self._token = token
        self._names = {name.lower() for name in names}
        self._headers = {
            "Content-Security-Policy": policy(),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._refusal(Headers(scope=scope), str(scope["path"])) or self._app
        await answer(scope, receive, with_headers)

    def _refusal(self, headers: Headers, path: str) -> Response | None:
        if not self._is_own_name(headers.getlist("host")):
            return PlainTextResponse(
                "This name is not served here: `sprint serve --name NAME` adds it.\n", 421
            )
        if self._token is None or path in _OPEN or _is_let_in(self._token, headers):
            return None
        if "text/html" in headers.get("accept", ""):
            return RedirectResponse(LOGIN, 303)
        return PlainTextResponse("Log in first, or send the token as a bearer.\n", 401)

    def _is_own_name(self, hosts: list[str]) -> bool:
        try:
            name = urlsplit(f"//{hosts[0]}").hostname if len(hosts) == 1 else None
        except ValueError:
            return False
        return name is not None and (name in self._names or _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_let_in(token: Secret, headers: Headers) -> bool:
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return is_token(token, given.strip())
    # A browser sends the cookies of every server of this name: what is odd in those must not hide ours.
    cookie = cookie_parser(headers.get("cookie", "")).get(_COOKIE, "")
    return hmac.compare_digest(cookie.encode(), _session(token).encode())


def is_token(token: Secret, given: str) -> bool:
    """In a time that tells nothing of how much of it was right."""
    digests = (hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in (token.reveal(), given))
    return hmac.compare_digest(*digests)


def _session(token: Secret) -> str:
    """What the cookie holds: made from the token, which is not to be had from it. A new token ends it."""
    return hmac.new(token.reveal().encode(), b"sprint serve: session", hashlib.sha256).hexdigest()


def let_in(token: Secret) -> Response:
    """To the report, with the cookie that opens it."""
    answer = RedirectResponse("/", 303)
    answer.set_cookie(_COOKIE, _session(token), max_age=_COOKIE_SECONDS, httponly=True, samesite="lax")
    return answer
