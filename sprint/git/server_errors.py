"""What git says when a server fails, turned into one sentence without a secret in it."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote, urlsplit

from sprint.domain import Completed, Secret
from sprint.errors import ForgeError

_MOST_WORDS = 500
_MOST_HEARD = 20_000  # of what a server made git say; the fault itself comes last
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CREDENTIALS_IN_URL = re.compile(r"://[^/@\s']+@")
_NOISE = re.compile(r"^(hint: |To |Done$|warning: |remote: *$|Everything up-to-date)")

# What git's own words mean: (pattern, HTTP status where there is one, the sentence). The first match counts.
_FAULTS: tuple[tuple[str, int | None, str], ...] = (
    (
        r"Authentication failed|could not read (Username|Password)|error: 401",
        401,
        "{host} does not accept {token} for {path}; make a new one and put it in place",
    ),
    (
        r"error: 403|Access denied|denied to |Permission to .* denied|not authorized",
        403,
        "{host} forbids this token to {doing} {path}; give its account access",
    ),
    (
        r"repository '.*' not found|error: 404|Repository not found",
        404,
        "{host} has no repository {path}, or the token may not see it; check the name and the token",
    ),
    (
        r"error: 3\d\d|unable to update url base from redirection",
        301,
        "{host} has moved {path} elsewhere; configure the name that it has now",
    ),
    (r"error: 429", 429, "{host} asks to slow down; try again later"),
    (
        r"error: (?P<status>5\d\d)|HTTP (?P<rpc>5\d\d)",
        500,
        "{host} failed with HTTP {status}; try again later",
    ),
    (
        r"not valid: is this a git repository|bad line length|expected (flush|service)|protocol error"
        r"|invalid server response|unexpected response",
        None,
        "{host} answered for {path} with something that is not git (a login page?); check the address",
    ),
    (
        r"Operation too slow|timed out|timeout",
        None,
        "{host} did not answer in time; try again later",
    ),
    (
        r"Could not resolve|Failed to connect|Connection refused|Couldn't connect|No route|unreachable",
        None,
        "cannot reach {host}; check the address and the network",
    ),
    (
        r"[Cc]ertificate|SSL|TLS",
        None,
        "the certificate of {host} is not trusted; name its authority in SSL_CERT_FILE",
    ),
    (
        r"couldn't find remote ref (?P<ref>\S+)|no such ref",
        None,
        "{path} on {host} has no {ref}; check the branch in the configuration, and that the address is git's",
    ),
    (
        r"hung up|early EOF|RPC failed|unexpected disconnect|Recv failure|Empty reply|transfer closed",
        None,
        "{host} broke off while git wanted to {doing} {path}; try again later",
    ),
    (
        r"does not appear to be a git repository",
        404,
        "there is no git repository at {path}; check the address",
    ),
    (r"No space left on device|disk quota", None, "the disk is full; free some space"),
)


class Unexplained(ForgeError):
    """A fault that nothing git said puts down to the server or the way there."""


def remote_fault(url: str, token: Secret | None, doing: str, done: Completed) -> ForgeError:
    """The error for a git command that did not get what it wanted from `url`."""
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
    for pattern, status, sentence in _FAULTS:
        if match := re.search(pattern, told):
            named = match.groupdict()
            number = named.get("status") or named.get("rpc")
            values["status"] = number or str(status or "")
            values["ref"] = one_line(named.get("ref") or values["ref"], token)
            return ForgeError(sentence.format(**values), status=int(number) if number else status)
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
