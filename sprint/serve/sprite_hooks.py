"""Call-backs of agents elsewhere: who may say what of a run, and how often.

Two forms are understood, both signed by HMAC-SHA256 with the run's own secret. Over `X-Webhook-Timestamp`, a
dot and the body, as `sprint agent` sends it: good for minutes, and once. Over the body alone: as no time is
in it, it counts once for each run and type, a question once for each text.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from starlette.datastructures import Headers

from sprint import callbacks, decoding, transcript
from sprint.callbacks import Kind, Mark
from sprint.clean_text import safe_line
from sprint.domain import Phase, Run
from sprint.errors import SprintError
from sprint.gateway.exchange import Refused
from sprint.runs import RunStore
from sprint.terminal_text import readable

BODY_BYTES = 65_536
SECONDS = 300.0  # that two clocks may differ, and that a call-back may take
_NOT_SIGNED = "not signed as this run's"


class Stats(msgspec.Struct, frozen=True, rename="camel"):
    message_count: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class _Body(msgspec.Struct, frozen=True, rename="camel", tag_field="type", kw_only=True):
    task_id: str
    session_id: str = ""


class _Completed(_Body, frozen=True, kw_only=True, tag="completed"):
    summary: str = ""
    stats: Stats | None = None


class _Failed(_Body, frozen=True, kw_only=True, tag="error"):
    error: str


class _Asked(_Body, frozen=True, kw_only=True, tag="question"):
    question: str


@dataclass(frozen=True)
class Taken:
    """A call-back that was rightly signed; `is_new` where it was not known yet."""

    run: Run
    is_new: bool


def take(store: RunStore, run_id: str, headers: Headers, body: bytes) -> Taken:
    """Mark the run. Raises Refused, and SprintError where its files cannot be read or written."""
    now = datetime.now(UTC)
    stamp = _checked_stamp(_key(store, run_id), headers, body)
    if stamp and abs(now.timestamp() - int(stamp)) > SECONDS:
        raise Refused(401, "its time is not now: see the clocks of both machines")
    run = store.load(run_id)
    said = _understood(body, run)
    if run.phase in (Phase.CONCLUDED, Phase.SETTLED):
        raise Refused(409, "the run is over")
    kind, text = _told(said)
    name = f"{stamp} {hashlib.sha256(body).hexdigest()}" if stamp else kind
    if kind == "question" and not stamp:
        name = f"{kind} {hashlib.sha256(text.encode()).hexdigest()}"
    try:
        is_new = callbacks.add(store.folder(run_id), Mark(at=now, kind=kind, said=text, name=name))
    except callbacks.Full:
        raise Refused(429, "the run has called back too often") from None
    if is_new:
        note = f"called back: {kind}: {safe_line(text, 200)}".rstrip(": ")
        transcript.append(store.folder(run_id), "note", text=note)
    return Taken(run, is_new)


def _key(store: RunStore, run_id: str) -> str:
    """Whoever does not know it learns nothing of which runs there are."""
    try:
        key = callbacks.key_of(store.folder(run_id)) if store.exists(run_id) else None
    except SprintError:
        key = None
    if key is None:
        raise Refused(401, _NOT_SIGNED)
    return key


def _checked_stamp(key: str, headers: Headers, body: bytes) -> str:
    """The time that is signed with it, "" for none."""
    given, stamps = headers.getlist("x-webhook-signature"), headers.getlist("x-webhook-timestamp")
    stamp = stamps[0] if stamps else ""
    is_plain = (
        len(given) == 1 and len(stamps) <= 1 and (not stamps or (stamp.isdecimal() and len(stamp) < 16))
    )
    signed = f"{stamp}.".encode() + body if stamp else body
    if not is_plain or not is_signature(given[0], "sha256=", key.encode(), signed):
        raise Refused(401, _NOT_SIGNED)
    return stamp


def is_signature(given: str, prefix: str, key: bytes, signed: bytes) -> bool:
    """Whether `given` is `prefix` and the HMAC-SHA256 in hexadecimal digits; in constant time."""
    wanted = prefix + hmac.new(key, signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(given.encode("latin-1", "replace"), wanted.encode())


def _understood(body: bytes, run: Run) -> _Completed | _Failed | _Asked:
    try:
        said = decoding.decode(body, _Completed | _Failed | _Asked)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, f"not the body of a call-back: {safe_line(str(error), 200)}") from error
    of_issue = (str(run.issue), f"{run.repo}#{run.issue}") if run.issue else ()
    if said.task_id not in (run.id, *of_issue) or said.session_id not in ("", run.id):
        raise Refused(400, "it speaks of another run")
    return said


def _told(said: _Completed | _Failed | _Asked) -> tuple[Kind, str]:
    match said:
        case _Completed():
            return "completed", readable(said.summary).strip()
        case _Failed():
            return "error", readable(said.error).strip()
    if not (question := readable(said.question).strip()):
        raise Refused(400, "a question without its text")
    return "question", question
