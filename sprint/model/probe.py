"""Is a model fit for the work: does it answer, does it call tools, how much does it really take in?"""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Iterator
from pathlib import Path

from sprint import health
from sprint.domain import Endpoint, Finding, Grade
from sprint.errors import ModelError, ModelTrouble
from sprint.model import ContextOverflow, Models, OutOfTime, Reply, inquiry, readiness, tool_question
from sprint.model.reply import shown_url

ENOUGH_WINDOW = 64_000  # tokens: what hermes asks for, too; with less, old results are soon left out
NEEDLE_TOKENS = 30_000  # the most that is sent to see whether the far end is read
_LONGEST_ANSWER = 1_000  # tokens
_TRIES = 2
_CHARACTERS_PER_TOKEN = 4
_WHOLE = 0.6  # of the tokens that were sent, by our count: with less, something was cut
_FILLER = "The quick brown fox jumps over the lazy dog, and nothing else of note happens in line {}.\n"
_QUESTION = "What is the password? Answer with the password alone."
_OLLAMA_REMEDY = (
    "set OLLAMA_CONTEXT_LENGTH for the server, or num_ctx in a Modelfile (its API ignores num_ctx)"
)


def examine(
    endpoint: Endpoint, what: str, results: Path | None, *, seconds: float = 120.0, deep: bool = False
) -> Iterator[Finding]:
    """Findings about one model, as they are made: `what` names it in them.

    Each question may take so many seconds. What it comes to is remembered in `results`/health/, as before a
    claim; None: nowhere. With `deep`, a message of up to 30,000 tokens is sent to see whether it is read to
    its far end.
    """
    try:
        answer = tool_question.ask(endpoint, seconds)
    except ModelError as error:
        if results is not None:
            readiness.note(results, endpoint, error)
        reason = readiness.reason_of(error, endpoint)
        yield Finding(Grade.FAULT, what, f"at {shown_url(endpoint.base_url)}: {reason}")
        return
    yield Finding(Grade.OK, what, f"reachable at {shown_url(endpoint.base_url)}")
    yield _tools(what, answer)
    window = yield from _context(endpoint, f"{what} context", deep=deep)
    too_small = readiness.window_fault(window)
    kind = ModelTrouble.WINDOW if too_small else None if answer.calls else ModelTrouble.NO_TOOLS
    if results is not None:
        health.note_model(results, endpoint, kind, too_small or answer.mistake)
    if deep:
        yield _needle(endpoint, f"{what} context", min(window or NEEDLE_TOKENS, NEEDLE_TOKENS), seconds)


def _tools(what: str, answer: tool_question.ToolAnswer) -> Finding:
    what = f"{what} tools"
    if not answer.mistake:
        return Finding(Grade.OK, what, "it calls a tool when asked")
    return Finding(Grade.WARNING if answer.calls else Grade.FAULT, what, answer.mistake)


def _context(endpoint: Endpoint, what: str, *, deep: bool) -> Generator[Finding, None, int | None]:
    """Says how much the model takes in, and returns it, None where nobody tells."""
    loaded = inquiry.ollama_window(endpoint)
    told = loaded or inquiry.window(endpoint)
    window = min(filter(None, (told, endpoint.context)), default=None)
    if window is None:
        more = "" if deep else "; `sprint doctor --deep` sends a long message to see what it reads"
        yield Finding(Grade.WARNING, what, f"the server does not tell it; set model.context{more}")
        return None
    who = "its server" if told else "its configuration"
    size = f"{window} tokens by {who}"
    if loaded is not None:
        trained = inquiry.ollama_trained(endpoint)
        size = f"Ollama runs it with {loaded} tokens{f', made for {trained}' if trained else ''}"
    if too_small := readiness.window_fault(window):
        yield Finding(Grade.FAULT, what, too_small)
    elif told and endpoint.context and told < endpoint.context:
        remedy = _OLLAMA_REMEDY if loaded else "set model.context to that"
        yield Finding(Grade.WARNING, what, f"{size}, configured are {endpoint.context}; {remedy}")
    elif window < ENOUGH_WINDOW:
        remedy = _OLLAMA_REMEDY if loaded else "a larger one keeps more of a long run in mind"
        yield Finding(Grade.WARNING, what, f"{size}, less than the 64k that hermes asks for; {remedy}")
    else:
        yield Finding(Grade.OK, what, size)
    return window


def _needle(endpoint: Endpoint, what: str, tokens: int, seconds: float) -> Finding:
    """Whether the beginning of a long message reaches the model: what is cut silently is cut there."""
    secret = f"{secrets.choice(_WORDS)}-{secrets.randbelow(9000) + 1000}"
    sent = int(tokens * 0.8)
    lines = sent * _CHARACTERS_PER_TOKEN // len(_FILLER.format(1000))
    text = "".join(_FILLER.format(number) for number in range(lines))
    try:
        reply = _ask(endpoint, f"The password is {secret}.\n{text}\n{_QUESTION}", seconds)
    except ContextOverflow as overflow:
        fits = f"at most {overflow.window} tokens" if overflow.window else f"less than {tokens} tokens"
        return Finding(Grade.WARNING, what, f"it takes in {fits}; set model.context to what it has")
    except OutOfTime:
        says = f"a message of about {sent} tokens got no answer within {seconds:g} s"
        return Finding(Grade.WARNING, what, f"{says}; raise limits.first_token_seconds")
    except ModelError as error:
        reason = readiness.reason_of(error, endpoint)
        return Finding(Grade.WARNING, what, f"a message of about {sent} tokens got no answer: {reason}")
    if secret.lower() in f"{reply.content} {reply.reasoning}".lower():
        length = sent if reply.estimated else reply.usage.prompt_tokens
        return Finding(Grade.OK, what, f"it reads the far end of a message of about {length} tokens")
    return Finding(Grade.WARNING, what, _unread(reply, sent))


def _unread(reply: Reply, sent: int) -> str:
    """The server's own count tells a message that was cut from one that the model did not heed."""
    counted = reply.usage.prompt_tokens
    says = f"it does not answer from the far end of a message of about {sent} tokens"
    if reply.estimated:
        return f"{says}, and its server does not count tokens: it is cut, or missed by the model"
    if counted < _WHOLE * sent:
        return f"{says}: cut, for its server counted {counted}; set model.context to what it has"
    return f"{says}: missed by the model, for its server counted {counted}; choose another model"


_WORDS = ("amber", "basalt", "cobalt", "dune", "ember", "fjord", "garnet", "heather", "indigo", "juniper")


def _ask(endpoint: Endpoint, question: str, seconds: float) -> Reply:
    with Models(
        [endpoint],
        first_token_seconds=seconds,
        silence_seconds=seconds,
        deadline=time.monotonic() + seconds,
        backoff_seconds=0.5,
        tries=_TRIES,
    ) as models:
        return models.complete([{"role": "user", "content": question}], [], max_tokens=_LONGEST_ANSWER)
