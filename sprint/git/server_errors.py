"""What git says when a server fails, turned into one sentence without a secret in it."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from sprint.domain import Completed, Secret
from sprint.errors import ForgeError
from sprint.retries import PassingFault, is_limit, told_wait

_MOST_WORDS = 500
_MOST_HEARD = 20_000  # of what a server made git say; the fault itself comes last
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CREDENTIALS_IN_URL = re.compile(r"://[^/@\s']+@")
_NOISE = re.compile(r"^(hint: |To |Done$|warning: |remote: *$|Everything up-to-date)")


class _Meaning(NamedTuple):
    """What some of git's own words mean. `passes`: asking again may help."""

    words: str
    sentence: str
    status: int | None = None
    passes: bool = False
    maybe_done: bool = True


_LIMITED = "{host} limits our requests ({status})"
_NOT_GIT = "{host} answered for {path} with something that is not git (a login page?); check the address"
# The first match counts.
_MEANINGS = (
    _Meaning(
        r"Authentication failed|could not read (Username|Password)|error: 401",
        "{host} does not accept {token} for {path}; make a new one and put it in place",
        401,
    ),
    _Meaning(
        r"error: 403|Access denied|denied to |Permission to .* denied|not authorized",
        "{host} forbids this token to {doing} {path}; give its account access",
        403,
        maybe_done=False,
    ),
    _Meaning(
        r"repository '.*' not found|error: 404|Repository not found",
        "{host} has no repository {path}, or the token may not see it; check the name and the token",
        404,
    ),
    _Meaning(
        r"error: 3\d\d|unable to update url base from redirection",
        "{host} has moved {path} elsewhere; configure the name that it has now",
        301,
    ),
    _Meaning(r"error: 429", _LIMITED, 429, passes=True, maybe_done=False),
    _Meaning(
        r"error: (?P<status>5\d\d)|HTTP (?P<rpc>5\d\d)", "{host} failed with HTTP {status}", 500, passes=True
    ),
    _Meaning(r"not valid: is this a git repository|invalid server response", _NOT_GIT),
    _Meaning(  # or cut off in the middle
        r"bad line length|expected (flush|service)|protocol error|unexpected response", _NOT_GIT, passes=True
    ),
    _Meaning(r"Operation too slow|timed out|timeout", "{host} did not answer in time", passes=True),
    _Meaning(
        r"Could not resolve|Failed to connect|Connection refused|Couldn't connect|No route|unreachable",
        "cannot reach {host}; check the address and the network",
        passes=True,
        maybe_done=False,
    ),
    _Meaning(
        r"[Cc]ertificate|SSL|TLS",
        "the certificate of {host} is not trusted; name its authority in SSL_CERT_FILE",
    ),
    _Meaning(
        r"couldn't find remote ref (?P<ref>\S+)|no such ref",
        "{path} on {host} has no {ref}; check the branch in the configuration, and that the address is git's",
    ),
    _Meaning(
        r"hung up|early EOF|RPC failed|unexpected disconnect|Recv failure|Empty reply|transfer closed",
        "{host} broke off while git wanted to {doing} {path}",
        passes=True,
    ),
    _Meaning(
        r"does not appear to be a git repository",
        "there is no git repository at {path}; check the address",
        404,
    ),
    _Meaning(r"No space left on device|disk quota", "the disk is full; free some space"),
)


class Unexplained(ForgeError):
    """A fault that nothing git said puts down to the server or the way there."""


def remote_fault(
    url: str, token: Secret | None, doing: str, done: Completed, headers: Mapping[str, str] | None = None
) -> ForgeError:
    """The error for a git command that did not get what it wanted from `url`.

    `headers` are the last answer's; None where nobody listened: then it passes for a while that a 403 may be
    a limit.
    """
    parts = urlsplit(url)
    told = "timed out" if done.killed_by == "timeout" else done.err[-_MOST_HEARD:]
    values = {
        "host": parts.netloc.rpartition("@")[2] or "this machine",
        "path": parts.path.strip("/").removesuffix(".git") if parts.netloc else parts.path,
        "doing": doing,
        "token": "the token" if token else "a request without a token",
        "ref": "such ref",
        "status": "",
    }
    for meaning in _MEANINGS:
        if match := re.search(meaning.words, told):
            named = match.groupdict()
            number = named.get("status") or named.get("rpc")
            status = int(number) if number else meaning.status
            values["status"] = str(status or "")
            values["ref"] = one_line(named.get("ref") or values["ref"], token)
            limited = status == 403 and is_limit(headers or {}, told)
            message = (_LIMITED if limited else meaning.sentence).format(**values)
            if meaning.passes or limited or (status == 403 and headers is None):
                wait = told_wait(headers or {})
                return PassingFault(message, status=status, wait=wait, maybe_done=meaning.maybe_done)
            return ForgeError(message, status=status)
    said = server_words(told, token) or done.killed_by or f"exit code {done.exit_code}"
    return Unexplained(f"git could not {doing} {values['path']} on {values['host']}: {said}")


def server_words(text: str, token: Secret | None = None, *, everything: bool = False) -> str:
    """The line of git's that says what went wrong (or all of them), clean and short."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _NOISE.match(line)]
    if not everything:
        telling = [line for line in lines if line.startswith(("fatal:", "error:"))]
        lines = (telling or lines)[-1:]
    return one_line("; ".join(dict.fromkeys(lines)), token)


def one_line(text: str, token: Secret | None = None) -> str:
    """Printable, on one line, of bounded length, and with no credentials in it."""
    for form in _forms(token):
        text = text.replace(form, "***")
    text = _CREDENTIALS_IN_URL.sub("://", _CONTROL.sub(" ", _COLOUR.sub("", text)))
    text = " ".join(text.split())
    return text if len(text) <= _MOST_WORDS else text[: _MOST_WORDS - 3] + "..."


def _forms(token: Secret | None) -> set[str]:
    """A token as it may be quoted back at us."""
    if not token:
        return set()
    value = token.reveal()
    return {value, quote(value, safe=""), base64.b64encode(value.encode()).decode(), value.encode().hex()}
