"""Before an issue is claimed: does a server speak the dialect that an agent needs, and call tools in it?

Asked by a tiny request; what comes of it is remembered in results/health/, for each dialect apart.
"""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sprint import health, json_file, spend
from sprint.domain import Endpoint
from sprint.errors import ModelTrouble
from sprint.gateway.models.dialect import Dialect, Heard, Rules
from sprint.gateway.models.model_apis import DIALECTS
from sprint.gateway.models.provider import Provider
from sprint.gateway.models.route import asked_in
from sprint.health import ModelHealth
from sprint.model import readiness
from sprint.model.faults import Fault, Remedy, judge, scrubbed, text_of, why_lost
from sprint.model.reply import priced
from sprint.model.transport import Line
from sprint.model.watchdog import Wait, Watchdog

# Tokens of the answer: few at first, for some models babble; more the second time, for others think first.
_LONGEST_ANSWERS = (300, 2_000)
_ANSWER_BYTES = 1_000_000
_LACKS_IT = (404, 405, 501)
_NAME = "report_number"
_TOOL = {
    "name": _NAME,
    "description": "Report a number to the operator.",
    "parameters": {
        "type": "object",
        "properties": {"number": {"type": "integer"}},
        "required": ["number"],
    },
}
_SPENT_AS = "model-check"


def check(
    endpoints: Callable[[], Sequence[Endpoint]],
    dialect: Dialect,
    results: Path,
    seconds: float,
    *,
    anew: bool = False,
) -> None:
    """See that one of the endpoints is fit for work in that dialect, asking only where nothing is remembered.

    Raises ModelError, naming each and why, where none is; ConfigError where the configuration cannot work.
    """
    if dialect == "chat":
        readiness.check(endpoints, results, seconds)  # doctor's own question about each model is the same one
        return
    refusals = []
    for endpoint in endpoints():
        known = None if anew else health.model(results, asked_in(endpoint, dialect))
        known = known or _asked(endpoint, dialect, results, seconds)
        if known.kind is None:
            return
        refusals.append((endpoint, known))
    raise readiness.none_fit(refusals)


def _asked(endpoint: Endpoint, dialect: Dialect, results: Path, seconds: float) -> ModelHealth:
    """Ask now, and remember what came of it."""
    address = asked_in(endpoint, dialect)
    try:
        ask(endpoint, dialect, results, seconds)
    except Fault as fault:
        return health.note_model(results, address, fault.kind, fault.reason, retry_after=fault.retry_after)
    return health.note_model(results, address)


def ask(endpoint: Endpoint, dialect: Dialect, results: Path, seconds: float) -> None:
    """Ask for a call of a tool, twice if need be, within so many seconds. Raises Fault."""
    rules = DIALECTS[dialect]
    number = secrets.randbelow(9000) + 1000
    words = f"Call the tool {_NAME} with the number {number}. Do nothing else."
    provider = Provider(endpoint, dialect)
    deadline = time.monotonic() + seconds
    try:
        for longest in _LONGEST_ANSWERS:
            body = rules.question(endpoint.name, words, _TOOL, longest)
            heard = _heard(provider, rules, json.dumps(body).encode(), Wait(seconds, seconds, deadline))
            used = priced(endpoint, heard.prompt or 0, heard.cached, heard.completion or 0)
            if used.cost_usd:
                spend.record(results, _SPENT_AS, used.cost_usd)
            if heard.calls:
                return
    finally:
        provider.close()
    raise Fault(Remedy.OTHER, "it calls no tool when asked to; choose another model", ModelTrouble.NO_TOOLS)


def _heard(provider: Provider, rules: Rules, body: bytes, wait: Wait) -> Heard:
    """What came back. Raises Fault."""
    line = Line()
    headers = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
    with Watchdog(line.cut, wait) as watchdog:
        try:
            with provider.asked(line, rules.PATH, headers, body) as response:
                data = response.read(_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            if watchdog.fired:
                raise watchdog.fault from None
            raise Fault(Remedy.WAIT, why_lost(error, provider.endpoint.key.reveal())) from None
    return _understood(provider.endpoint, rules, response, data)


def _understood(endpoint: Endpoint, rules: Rules, response: http.client.HTTPResponse, data: bytes) -> Heard:
    told = json_file.parsed(data)
    key = endpoint.key.reveal()
    text = scrubbed(text_of(told if told is not None else data.decode("utf-8", "replace")), key)
    lacks = f"it does not speak {rules.NAMED}, which this agent needs; Ollama, vLLM, llama.cpp and "
    lacks += "OpenRouter do"
    if response.status != 200:
        fault = judge(response.status, text, {name.lower(): v for name, v in response.headers.items()})
        if response.status in _LACKS_IT and "model" not in text.lower():
            raise Fault(Remedy.OTHER, f"{lacks} ({fault.reason})", ModelTrouble.UNKNOWN)
        raise fault
    heard = Heard()
    if told is not None:
        rules.take_whole(told, heard)
    if heard.failure:
        raise judge(None, scrubbed(text_of({"error": heard.failure}), key), {})
    if not heard.has_ended:
        raise Fault(Remedy.OTHER, lacks, ModelTrouble.UNKNOWN)
    return heard
