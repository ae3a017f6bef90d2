"""A tiny question that only a model which calls tools answers rightly, asked of its real server."""

from __future__ import annotations

import json
import secrets
import time

from msgspec import Struct

from sprint.domain import Endpoint
from sprint.errors import ModelError, ModelTrouble
from sprint.model import Models, OutOfTime, Reply
from sprint.model.reply import named

_SECONDS_BETWEEN_TRIES = 1.0
# Tokens of the answer: few at first, for some models babble; more the second time, for others think first.
_LONGEST_ANSWERS = (300, 2_000)
_NAME = "report_number"
_TOOL = {
    "type": "function",
    "function": {
        "name": _NAME,
        "description": "Report a number to the operator.",
        "parameters": {
            "type": "object",
            "properties": {"number": {"type": "integer"}},
            "required": ["number"],
        },
    },
}


class ToolAnswer(Struct, frozen=True):
    """`mistake` says what is wrong with the call, "" if nothing is; `calls`: it can be worked with as it is.

    `usd` is what the question cost, 0 where the price is not known.
    """

    mistake: str
    calls: bool
    usd: float = 0.0


def ask(endpoint: Endpoint, seconds: float) -> ToolAnswer:
    """Ask for a call, twice if need be, within so many seconds.

    Raises ModelError, of the kind that it is, where there is no answer.
    """
    number = secrets.randbelow(9000) + 1000
    messages = [
        {"role": "system", "content": "You act only by calling tools."},
        {"role": "user", "content": f"Report the number {number} with the tool {_NAME}."},
    ]
    usd = 0.0
    with Models(
        [endpoint],
        first_token_seconds=seconds,
        silence_seconds=seconds,
        deadline=time.monotonic() + seconds,
        tries=1,
    ) as models:
        for longest in _LONGEST_ANSWERS:
            try:
                reply = models.complete(messages, [_TOOL], max_tokens=longest)
            except OutOfTime:
                raise ModelError(_late(endpoint, seconds), ModelTrouble.SLOW) from None
            except ModelError as error:
                if error.kind is not ModelTrouble.AWAY or longest == _LONGEST_ANSWERS[-1]:
                    raise
                time.sleep(min(_SECONDS_BETWEEN_TRIES, seconds))
                continue
            usd += reply.usage.cost_usd or 0.0
            mistake = _mistake(reply, number)
            answer = ToolAnswer(mistake, not mistake or _is_written_as_text(reply, number), usd)
            if answer.calls:
                break
    return answer


def _late(endpoint: Endpoint, seconds: float) -> str:
    return (
        f"no usable model: {named(endpoint)}: no tool call within {seconds:g} s; "
        "raise limits.first_token_seconds, if it is only slow"
    )


def _mistake(reply: Reply, number: int) -> str:
    if not reply.tool_calls:
        if reply.finish_reason == "length":
            return f"it comes to no tool call within {_LONGEST_ANSWERS[-1]} tokens; choose another model"
        return f"it answers with text in place of a tool call: {reply.content[:80]!r}; choose another model"
    call = reply.tool_calls[0]
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return f"its arguments are no JSON: {call.arguments[:80]!r}; choose another model"
    if call.name != _NAME or not isinstance(arguments, dict) or arguments.get("number") != number:
        made = f"{call.name}({call.arguments[:80]})"
        return f"it calls {made} when asked for {_NAME}({number}); choose another model"
    return ""


def _is_written_as_text(reply: Reply, number: int) -> bool:
    """As many local models do; the loop reads the usual notations."""
    return not reply.tool_calls and _NAME in reply.content and str(number) in reply.content
