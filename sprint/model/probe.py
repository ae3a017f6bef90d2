"""Is a model fit for the work: does it answer, does it call tools, how much does it really take in?"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

from sprint.domain import Endpoint, Finding, Grade
from sprint.errors import ModelError
from sprint.model import ContextOverflow, Models, Reply, inquiry
from sprint.model.reply import DOCTOR_TELLS_MORE, named, shown_url

ENOUGH_CONTEXT = 16_000  # tokens: with less, half of it is the task and the tools
NEEDLE_TOKENS = 30_000  # the most that is sent to see whether the far end is read
_CHARACTERS_PER_TOKEN = 4
_FILLER = "The quick brown fox jumps over the lazy dog, and nothing else of note happens in line {}.\n"
_TOOL = {
    "type": "function",
    "function": {
        "name": "report_number",
        "description": "Report a number to the operator.",
        "parameters": {
            "type": "object",
            "properties": {"number": {"type": "integer"}},
            "required": ["number"],
        },
    },
}
_QUESTION = "What is the password? Answer with the password alone."
_OLLAMA_REMEDY = (
    "set OLLAMA_CONTEXT_LENGTH for the server, or num_ctx in a Modelfile (its API ignores num_ctx)"
)


def examine(endpoint: Endpoint, what: str, *, timeout: float = 120.0) -> Iterator[Finding]:
    """Findings about one model, as they are made: `what` names it in them. Each question may take `timeout`
    seconds. Costs two calls, one of them with up to 30,000 tokens."""
    if reason := inquiry.unreachable(endpoint):
        yield Finding(Grade.FAULT, what, f"{named(endpoint)}: {reason}")
        return
    try:
        calls = _calls_a_tool(endpoint, timeout)
    except ModelError as error:
        yield Finding(Grade.FAULT, what, str(error).removesuffix(DOCTOR_TELLS_MORE))
        return
    yield Finding(Grade.OK, what, f"reachable at {shown_url(endpoint.base_url)}")
    yield Finding(Grade.FAULT if calls else Grade.OK, f"{what} tools", calls or "it calls a tool when asked")
    yield from _context(endpoint, what, timeout)


def _calls_a_tool(endpoint: Endpoint, timeout: float) -> str:
    """What is wrong with how the model calls a tool, or "". Raises ModelError where it does not answer."""
    number = secrets.randbelow(9000) + 1000
    messages = [
        {"role": "system", "content": "You act only by calling tools."},
        {"role": "user", "content": f"Report the number {number} with the tool report_number."},
    ]
    reply = _ask(endpoint, messages, [_TOOL], timeout)
    if not reply.tool_calls:
        return f"it answers with text in place of a tool call: {reply.content[:80]!r}; choose another model"
    call = reply.tool_calls[0]
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return f"its arguments are no JSON: {call.arguments[:80]!r}; choose another model"
    if call.name != "report_number" or not isinstance(arguments, dict) or arguments.get("number") != number:
        made = f"{call.name}({call.arguments[:80]})"
        return f"it calls {made} when asked for report_number({number}); choose another model"
    return ""


def _context(endpoint: Endpoint, what: str, timeout: float) -> Iterator[Finding]:
    what = f"{what} context"
    loaded = inquiry.ollama_window(endpoint)
    told = loaded or inquiry.window(endpoint)
    window = min(filter(None, (told, endpoint.context)), default=None)
    if loaded is not None:
        trained = inquiry.ollama_trained(endpoint)
        made_for = f", made for {trained}" if trained else ""
        if endpoint.context and loaded < endpoint.context:
            says = f"Ollama runs it with {loaded} tokens, configured are {endpoint.context}; {_OLLAMA_REMEDY}"
            yield Finding(Grade.WARNING, what, says)
        elif loaded < ENOUGH_CONTEXT:
            says = f"Ollama runs it with {loaded} tokens only{made_for}; {_OLLAMA_REMEDY}"
            yield Finding(Grade.WARNING, what, says)
        else:
            yield Finding(Grade.OK, what, f"Ollama runs it with {loaded} tokens{made_for}")
    elif window is None:
        yield Finding(Grade.WARNING, what, "the server does not tell it; set model.context")
    elif window < ENOUGH_CONTEXT:
        yield Finding(Grade.WARNING, what, f"{window} tokens are little; choose a model with more")
    else:
        yield Finding(Grade.OK, what, f"{window} tokens by its {'server' if told else 'configuration'}")
    yield _needle(endpoint, what, min(window or NEEDLE_TOKENS, NEEDLE_TOKENS), timeout)


def _needle(endpoint: Endpoint, what: str, tokens: int, timeout: float) -> Finding:
    """Whether the beginning of a long message reaches the model: what is cut silently is cut there."""
    secret = f"{secrets.choice(_WORDS)}-{secrets.randbelow(9000) + 1000}"
    room = int(tokens * 0.8) * _CHARACTERS_PER_TOKEN
    lines = room // len(_FILLER.format(1000))
    text = "".join(_FILLER.format(number) for number in range(lines))
    messages = [
        {"role": "user", "content": f"The password is {secret}.\n{text}\n{_QUESTION}"},
    ]
    try:
        reply = _ask(endpoint, messages, [], timeout)
    except ContextOverflow as overflow:
        fits = f"at most {overflow.window} tokens" if overflow.window else f"less than {tokens} tokens"
        return Finding(Grade.WARNING, what, f"it takes in {fits}; set model.context to what it has")
    except ModelError as error:
        return Finding(Grade.WARNING, what, f"a message of {tokens} tokens got no answer: {error}")
    if secret.lower() in f"{reply.content} {reply.reasoning}".lower():
        length = room // _CHARACTERS_PER_TOKEN if reply.estimated else reply.usage.prompt_tokens
        return Finding(Grade.OK, what, f"it reads the far end of a message of about {length} tokens")
    return Finding(
        Grade.WARNING,
        what,
        f"it does not see the far end of a message of about {room // _CHARACTERS_PER_TOKEN} tokens "
        f"(its server counted {reply.usage.prompt_tokens}): what is longer is cut, or missed by the model",
    )


_WORDS = ("amber", "basalt", "cobalt", "dune", "ember", "fjord", "garnet", "heather", "indigo", "juniper")


def _ask(
    endpoint: Endpoint, messages: list[dict[str, Any]], tools: list[dict[str, Any]], timeout: float
) -> Reply:
    deadline = time.monotonic() + timeout
    with Models([endpoint], silence_seconds=timeout, deadline=deadline, backoff_seconds=0.5) as models:
        return models.complete(messages, tools)
