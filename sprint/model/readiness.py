"""Before an issue is claimed: would its run find a model that works?

Asked with a tiny completion that has to call a tool, since servers list their models while the key is
refused, the quota used up or the model without tools; remembered in results/health/, shared by all
repositories.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sprint import health, spend
from sprint.domain import Endpoint
from sprint.errors import ModelError, ModelTrouble, SprintError
from sprint.health import ModelHealth
from sprint.model import inquiry, tool_question
from sprint.model.reply import DOCTOR_TELLS_MORE, named

LEAST_WINDOW = 8_000  # tokens: the prompt and the tools take half of it
_SPENT_AS = "model-check"

_log = logging.getLogger(__name__)


def check(endpoints: Callable[[], Sequence[Endpoint]], results: Path, first_token_seconds: float) -> None:
    """See that one of the endpoints is fit for work, asking only where nothing is remembered.

    Raises ModelError, naming each and why, where none is; ConfigError where the configuration cannot work.
    """
    refusals = []
    for endpoint in endpoints():
        known = health.model(results, endpoint) or ask(endpoint, results, first_token_seconds)
        if known.kind is None:
            return
        refusals.append((endpoint, known))
    raise none_fit(refusals)


def ask(endpoint: Endpoint, results: Path, seconds: float) -> ModelHealth:
    """Ask an endpoint now, within so many seconds, and remember what came of it."""
    try:
        answer = tool_question.ask(endpoint, seconds)
    except ModelError as error:
        return note(results, endpoint, error)
    _record(results, answer.usd)
    if not answer.calls:
        return health.note_model(results, endpoint, ModelTrouble.NO_TOOLS, answer.mistake)
    if too_small := window_fault(known_window(endpoint)):
        return health.note_model(results, endpoint, ModelTrouble.WINDOW, too_small)
    return health.note_model(results, endpoint)


def note(results: Path, endpoint: Endpoint, error: ModelError) -> ModelHealth:
    """Remember an error that was raised for this endpoint alone."""
    return health.note_model(
        results, endpoint, error.kind, reason_of(error, endpoint), retry_after=error.retry_after
    )


def reason_of(error: ModelError, endpoint: Endpoint) -> str:
    """An error's message without the words around it and the endpoint's name."""
    said = str(error).removesuffix(DOCTOR_TELLS_MORE).removeprefix("no usable model: ")
    return said.removeprefix(f"{named(endpoint)}: ")


def known_window(endpoint: Endpoint) -> int | None:
    """The smaller one of what the server tells and what is configured, in tokens."""
    return min(filter(None, (inquiry.window(endpoint), endpoint.context)), default=None)


def window_fault(window: int | None) -> str:
    """Why no work can be done in a window of so many tokens, or ""."""
    if window is None or window >= LEAST_WINDOW:
        return ""
    return (
        f"it runs with a context of {window} tokens, too little for any work; give it {LEAST_WINDOW} or "
        "more (Ollama: OLLAMA_CONTEXT_LENGTH, or num_ctx in a Modelfile)"
    )


def none_fit(refusals: Sequence[tuple[Endpoint, ModelHealth]]) -> ModelError:
    """The error that names each endpoint, and why it is not fit."""
    if not refusals:
        return ModelError("no usable model: none is configured; set model: in sprint.yaml")
    said = "; ".join(f"{named(endpoint)}: {model.reason}" for endpoint, model in refusals)
    again = min(model.until for _, model in refusals)
    return ModelError(
        f"no usable model: {said}; asked again after {again:%H:%M} UTC, or at once by `sprint doctor`",
        refusals[0][1].kind or ModelTrouble.AWAY,
        retry_after=max((again - datetime.now(UTC)).total_seconds(), 0.0),
    )


def _record(results: Path, usd: float) -> None:
    try:
        if usd:
            spend.record(results, _SPENT_AS, usd)
    except SprintError as error:
        _log.warning("what asking the model cost is not recorded: %s", error)
