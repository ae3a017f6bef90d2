"""Which models are fit for work: a yes is good for ten minutes, a refusal for 10, 20 and then 40."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
from msgspec.structs import replace

from sprint import json_file
from sprint.config import Config, ModelConfig
from sprint.domain import Endpoint
from sprint.errors import ModelTrouble
from sprint.health.records import Moment, every, key_of, keyed, path_of, update

YES_LASTS = timedelta(minutes=10)
_REFUSAL_LASTS = timedelta(minutes=10)
_LONGEST_REFUSAL = timedelta(minutes=40)
_BUSY_LASTS = timedelta(minutes=1)
_LONGEST_BUSY = timedelta(minutes=10)


class ModelHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking a model last; good until `until`. `kind` None: it is fit for work.

    `reason` is one line for the operator, without address and key. `since` is when it began to refuse, and
    `refusals` counts how often it was asked in vain since then.
    """

    key: str
    name: str
    asked_at: Moment
    until: Moment
    kind: ModelTrouble | None = None
    reason: str = ""
    since: Moment | None = None
    refusals: int = 0


def model(results: Path, endpoint: Endpoint, now: datetime | None = None) -> ModelHealth | None:
    """What is known of an endpoint and still good; None: it has to be asked."""
    known = json_file.read_if_sound(_path(results, endpoint), ModelHealth)
    return known if known is not None and (now or datetime.now(UTC)) < known.until else None


def in_use(config: Config, models: Sequence[ModelHealth]) -> tuple[ModelHealth, ...]:
    """Those that this configuration names. All, where others may be in use: a model without a name is found,
    and other hosts of a fleet have their own configuration."""
    names = _names(config.model)
    if names is None or config.fleet is not None:
        return tuple(models)
    own = {getattr(worker, "model", "") for worker in config.workers.values()}
    return tuple(model for model in models if model.name in names | own)


def _names(model: ModelConfig | None) -> set[str] | None:
    """Of a model and its fallbacks; None where one has no name."""
    if model is None or not model.name:
        return None
    below = [_names(fallback) for fallback in model.fallbacks]
    return None if None in below else {model.name}.union(*filter(None, below))


def refusing_last(results: Path, endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The endpoints in their order, but for those that are known to refuse, which come last."""

    def refuses(endpoint: Endpoint) -> bool:
        known = model(results, endpoint)
        return known is not None and known.kind is not None

    return tuple(sorted(endpoints, key=refuses))


def note_model(
    results: Path,
    endpoint: Endpoint,
    kind: ModelTrouble | None = None,
    reason: str = "",
    *,
    retry_after: float | None = None,
    now: datetime | None = None,
) -> ModelHealth:
    """Remember what came of asking: fit (`kind` None), or why not.

    Each refusal after one that had run out is good for twice as long. A busy server's is short: `retry_after`
    seconds where it told them, within bounds.
    """
    now = now or datetime.now(UTC)

    def noted(before: ModelHealth | None) -> ModelHealth:
        key = key_of(endpoint.base_url, endpoint.name)
        fit = ModelHealth(key=key, name=endpoint.name, asked_at=now, until=now + YES_LASTS)
        if kind is None:
            return fit
        since, refusals, until = now, 0, now
        if before is not None and before.kind is not None:
            since, refusals, until = before.since or now, before.refusals, before.until
        if until <= now:  # else another tick asked at the same time
            refusals += kind is not ModelTrouble.BUSY
            until = now + (_busy_for(retry_after) if kind is ModelTrouble.BUSY else _refused_for(refusals))
        return replace(fit, until=until, kind=kind, reason=reason, since=since, refusals=refusals)

    return update(results, _path(results, endpoint), ModelHealth, noted, now)


def ask_again(results: Path) -> None:
    """Have each model that refused be asked by whoever needs it next, without that counting as one more
    refusal: a person may have mended what was wrong. A busy server is left alone for as long as it wishes."""
    now = datetime.now(UTC)
    for seen in every(results, "model", ModelHealth):
        if seen.kind not in (None, ModelTrouble.BUSY) and now < seen.until:
            due = partial(_due, seen=seen, now=now)
            update(results, keyed(results, "model", seen.key), ModelHealth, due, now)


def _due(before: ModelHealth | None, *, seen: ModelHealth, now: datetime) -> ModelHealth:
    known = before or seen
    return replace(known, until=min(known.until, now), refusals=max(known.refusals - 1, 0))


def _refused_for(refusals: int) -> timedelta:
    return min(_REFUSAL_LASTS * (1 << min(refusals - 1, 8)), _LONGEST_REFUSAL)


def _busy_for(retry_after: float | None) -> timedelta:
    if retry_after is None:
        return _BUSY_LASTS
    return min(max(timedelta(seconds=min(retry_after, 1e6)), _BUSY_LASTS), _LONGEST_BUSY)


def _path(results: Path, endpoint: Endpoint) -> Path:
    return path_of(results, "model", endpoint.base_url, endpoint.name)
