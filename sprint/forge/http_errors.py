"""Turns what a forge answered, or failed to answer, into one sentence for the operator."""

from __future__ import annotations

import socket
import unicodedata
from collections.abc import Mapping
from typing import Any

import urllib3.exceptions as faults

from sprint.domain import Secret
from sprint.errors import ForgeError
from sprint.retries import NO_DNS, NO_HOST, PassingFault, is_limit, is_no_host, told_wait

NO_TOKEN = "no token is configured: set token_file or token_env, or $GITEA_TOKEN or $GITHUB_TOKEN"  # noqa: S105
_PASSING_STATUS = frozenset({408, 500, 502, 503, 504, *range(520, 531)})


def clean(text: str, cap: int = 200) -> str:
    """A server's words on one line: no control or formatting characters, at most `cap` characters."""
    visible = (" " if unicodedata.category(c)[0] in "CZ" else c for c in text[: 4 * cap])
    line = " ".join("".join(visible).split())
    return line if len(line) <= cap else line[: cap - 3] + "..."


def server_message(data: Any, token: Secret | None) -> str:
    """The `message` of an error body and the `errors` that GitHub adds to it, without the token."""
    if not isinstance(data, dict):
        return ""
    words = [data.get("message")]
    errors = data.get("errors")
    for error in errors if isinstance(errors, list) else []:
        words.append(error.get("message") or error.get("code") if isinstance(error, dict) else error)
    text = ": ".join(str(word) for word in words if word)
    return clean(text.replace(token.reveal(), "***") if token else text)


def of_answer(what: str, status: int, headers: Mapping[str, str], message: str, *, token: str) -> ForgeError:
    """The error for a status that is no success.

    `what` names the request ("git.example.org: GET repos/o/r"), `message` is the server's own; `token` tells
    where the token came from, "" where there is none.
    """
    said = f": {message}" if message else ""
    if status == 429 or (status == 403 and is_limit(headers, message)):
        wait = told_wait(headers)
        return PassingFault(
            f"{what}: the forge limits our requests ({status}){said}",
            status=status,
            # GitHub asks for a minute at least where a secondary limit names no time.
            wait=60.0 if wait is None and status == 403 else wait,
        )
    if status in _PASSING_STATUS:
        return PassingFault(
            f"{what}: the server failed ({status}){said}",
            status=status,
            wait=told_wait(headers) if status == 503 else None,
            maybe_done=True,
        )
    if status == 401:
        remedy = f"{token} is wrong, expired or revoked: make a new one" if token else NO_TOKEN
        return ForgeError(f"{what}: not signed in (401){said}; {remedy}", status=status)
    if status == 403:
        return ForgeError(f"{what}: refused (403){said}; {_missing_right(headers, token)}", status=status)
    meaning = _MEANINGS.get(status, "refused")
    if status == 404 and not token:
        meaning = f"not there, or not to be seen without a token: check the name; {NO_TOKEN}"
    return ForgeError(f"{what}: {meaning} ({status}){said}", status=status)


_MEANINGS = {
    400: "the server does not understand this request",
    404: "not there, or the token cannot see it: check the name, the forge's url and the token's rights",
    405: "not allowed there, or not yet",
    409: "in conflict with what is there",
    410: "gone, or switched off in this repository",
    413: "too large for this server",
    422: "not accepted",
    423: "locked, or the repository is archived",
    451: "taken down for legal reasons",
}


def _missing_right(headers: Mapping[str, str], token: str) -> str:
    if headers.get("X-GitHub-SSO", "").startswith("required"):
        return f"authorise {token or 'a token'} for the organisation's single sign-on"
    wanted = headers.get("X-Accepted-GitHub-Permissions") or headers.get("X-Accepted-OAuth-Scopes")
    if wanted:
        held = headers.get("X-OAuth-Scopes")
        has = f", it has: {clean(held, 100)}" if held else ""
        return f"{token or 'a token'} needs: {clean(wanted, 100)}{has}"
    if not token:
        return NO_TOKEN
    return f"{token} or its account lacks the right to do this"


def of_exception(what: str, error: faults.HTTPError, read_timeout: float) -> ForgeError:
    """The error for a request that got no whole answer."""
    if isinstance(error, faults.ProxyError):
        return PassingFault(f"{what}: the proxy does not connect us; check HTTPS_PROXY", maybe_done=True)
    if isinstance(error, faults.SSLError):
        return ForgeError(
            f"{what}: no trusted TLS connection ({clean(str(error), 120)});"
            " check the address, or name the server's CA file in REQUESTS_CA_BUNDLE"
        )
    if isinstance(error, faults.NameResolutionError):
        if is_no_host(error.__cause__):
            return ForgeError(f"{what}: {NO_HOST}; check the forge's url and the network")
        return PassingFault(f"{what}: {NO_DNS}")
    if isinstance(error, faults.NewConnectionError):
        return PassingFault(f"{what}: no connection ({_os_reason(error)}): check that the server is up")
    if isinstance(error, faults.ConnectTimeoutError):
        return PassingFault(f"{what}: no connection in time: check that the server is up")
    if isinstance(error, faults.ReadTimeoutError):
        return PassingFault(f"{what}: no answer within {read_timeout:g} seconds", maybe_done=True)
    if isinstance(error, faults.LocationValueError):
        return ForgeError(f"{what}: the forge's url is not a valid address")
    return PassingFault(f"{what}: the connection broke off ({type(error).__name__})", maybe_done=True)


def _os_reason(error: faults.NewConnectionError) -> str:
    cause = error.__cause__
    if isinstance(cause, OSError) and not isinstance(cause, socket.gaierror) and cause.strerror:
        return cause.strerror
    return "refused"
