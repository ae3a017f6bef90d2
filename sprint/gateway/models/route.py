"""The door to the model: who may ask, what may be asked, how much of it, and what becomes of a dead model."""

from __future__ import annotations

import json
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sprint import health
from sprint.budget import Budget
from sprint.config import Limits
from sprint.domain import Endpoint, Usage, replace
from sprint.errors import ModelError, ModelTrouble, SprintError
from sprint.gateway.exchange import ClientGone, Exchange, Refused
from sprint.gateway.models import room
from sprint.gateway.models.asking import Asking, Failed, Refusal, unwanted
from sprint.gateway.models.dialect import Dialect, Heard
from sprint.gateway.models.model_apis import DIALECTS
from sprint.gateway.models.provider import Provider
from sprint.gateway.models.request import Request, understood
from sprint.gateway.models.run_key import is_brought
from sprint.gateway.models.used import Tally, metered
from sprint.model.faults import Fault, Remedy
from sprint.model.reply import DOCTOR_TELLS_MORE, named, shown_url
from sprint.model.watchdog import Wait

TRIES = 3  # agents try again themselves
BACKOFF_SECONDS = 1.0
_LONGEST_WAIT = 20.0  # that a busy server is waited for; longer is the agent's to decide
_MOST_NOTES = 200
_A_LONG_TIME = 30.0  # for an answer to begin: who hangs up then did not change its mind
_SECONDS_BETWEEN_NOTES = 60.0  # of a model's good health


class ModelRoute:
    """Serves one run, in one dialect. `note` tells the run's transcript; nothing is known of agents here.

    `endpoints` are those to ask, in order; all but the first only while the run has had no good answer.
    `key` is what whoever asks has to bring; it is worth nothing elsewhere, and nothing once this is closed.
    """

    def __init__(
        self,
        dialect: Dialect,
        endpoints: Sequence[Endpoint],
        *,
        tally: Tally,
        budget: Budget,
        limits: Limits,
        results: Path,
        note: Callable[[str], None],
        key: str = "",
    ) -> None:
        self.key = key or f"run-{secrets.token_urlsafe(24)}"
        self._dialect = dialect
        self._rules = DIALECTS[dialect]
        self._providers = [Provider(endpoint, dialect) for endpoint in endpoints]
        self._tally = tally
        self._budget = budget
        self._limits = limits
        self._results = results
        self._note = note
        self._lock = threading.Lock()
        self._current = self._first()
        self._calls = 0
        self._notes = 0
        self._room = room.Room()
        self._fault: ModelError | None = None
        self._broken: SprintError | None = None
        self._fit_at = float("-inf")
        self._said: set[str] = set()

    # --- for whoever opened it

    @property
    def model(self) -> str:
        """The name of the one that is asked now."""
        return self._current.endpoint.name

    def calls(self) -> int:
        """How often it was asked."""
        return self._calls

    def usage(self) -> Usage:
        """All that the run has used, from its beginning."""
        return self._tally.usage()

    def over(self) -> str:
        """The limit that is reached, with its key, or "". Raises SprintError where that cannot be told any
        more, for what is spent cannot be written or read."""
        if self._broken is not None:
            raise self._broken
        used = self._tally.usage()
        with self._lock:
            return self._budget.exceeded(used.prompt_tokens + used.completion_tokens, self._tally.known_usd)

    def fault(self) -> ModelError | None:
        """What was wrong with the last answer to a request with tools, None where it was whole."""
        return self._fault

    def close(self) -> None:
        for provider in self._providers:
            provider.close()

    # --- what is asked

    def serve(self, exchange: Exchange) -> None:
        """Answer one request. Raises ClientGone."""
        try:
            self._serve(exchange)
        except Refused as refusal:
            if exchange.started:
                raise
            self._refuse(exchange, Refusal(refusal.status, self._error(refusal.status, refusal.reason)))
        except SprintError as error:  # nothing that costs may go on uncounted
            self._broken = error
            raise ClientGone(str(error)) from error

    def _serve(self, exchange: Exchange) -> None:
        exchange.check_path()
        if exchange.method == "HEAD":  # an agent looks whether anybody is there
            exchange.answer(200, b"")
            return
        self._check_key(exchange)
        asked = (exchange.method, exchange.path)
        if asked == ("GET", "/v1/models"):
            exchange.answer(200, self._listed(), {"content-type": "application/json"})
        elif asked == ("POST", f"/v1{self._rules.PATH}"):
            self._ask(exchange, self._rules.PATH)
        elif asked == ("POST", "/v1/messages/count_tokens") and self._dialect == "messages":
            self._ask(exchange, f"{self._rules.PATH}/count_tokens", counts=False)
        else:
            raise Refused(404, f"only {self._rules.NAMED} are served here")

    def _check_key(self, exchange: Exchange) -> None:
        if not is_brought(exchange.headers, self.key):
            raise Refused(401, "not this run's key")

    def _listed(self) -> bytes:
        """The one model that there is here; what else its server has is none of the agent's business."""
        endpoint = self._current.endpoint
        entry = {"id": endpoint.name, "object": "model", "created": 0, "owned_by": "sprint", "type": "model"}
        if endpoint.context:
            entry["context_length"] = endpoint.context
        return json.dumps({"object": "list", "data": [entry], "has_more": False}).encode()

    def _ask(self, exchange: Exchange, path: str, *, counts: bool = True) -> None:
        with self._room.taken(exchange):
            request = understood(exchange.body(room.REQUEST_BYTES), exchange.headers, self._rules)
            for name in request.left_out:
                self._say_once(f"not passed on to the model: {name}")
            self._refuse_over_limit()
            self._calls += 1
            self._answer(exchange, request, path, counts=counts)

    def _refuse_over_limit(self) -> None:
        if limit := self.over():
            self._say_once(f"the model is not asked any more: {limit}")
            raise Refused(429, f"this run's budget is used up: {limit}")

    # --- who is asked, and how often

    def _first(self) -> Provider:
        served = self._tally.served
        for provider in self._providers:
            endpoint = provider.endpoint
            if served and (endpoint.name, shown_url(endpoint.base_url)) == (served.model, served.url):
                return provider
        return self._providers[0]

    def _candidates(self) -> list[Provider]:
        if self._tally.served is not None:
            return [self._current]
        return self._providers[self._providers.index(self._current) :]

    def _answer(self, exchange: Exchange, request: Request, path: str, *, counts: bool) -> None:
        """Pass on the first good answer, else the last failure. Raises ClientGone, Refused."""
        candidates = self._candidates()
        while True:
            provider = candidates.pop(0)
            failed = self._tried(exchange, provider, request, path, counts=counts)
            if failed is None:
                return
            if failed.is_cut and (limit := self.over()):
                self._say_once(f"the model is not asked any more: {limit}")
                break
            self._went_wrong(provider, request, failed.fault, counts=counts)
            if not candidates or exchange.started or failed.fault.remedy is Remedy.SHORTEN or not counts:
                break
            self._current = candidates[0]
            self._tell(f"{named(self._current.endpoint)} takes over")
        self._give_up(exchange, failed)

    def _tried(
        self, exchange: Exchange, provider: Provider, request: Request, path: str, *, counts: bool
    ) -> Failed | None:
        """Ask one server, again where its failure may pass; None once its answer went through."""
        began = time.monotonic()

        def ended(heard: Heard) -> None:
            if counts:
                self._count(provider, request, heard)
                self._went_well(provider, request)

        for attempt in range(1, TRIES + 1):
            asking, is_left = Asking(provider, request, path, ended), True
            try:
                asking.pass_on(exchange, self._wait(exchange))
                return None
            except Failed as error:
                failed, is_left = error, exchange.is_gone() or (error.is_cut and bool(self.over()))
            finally:
                if counts and not asking.has_told_end:
                    self._count(provider, request, asking.heard, is_left=is_left)
            if exchange.is_gone():
                self._note_patience(provider, request, began)
                raise ClientGone("it did not wait for the answer")
            if exchange.started or (failed.is_cut and self.over()):
                return failed
            self._refuse_over_limit()
            if failed.fault.remedy not in (Remedy.WAIT, Remedy.AT_ONCE) or attempt == TRIES:
                return failed
            if failed.fault.remedy is Remedy.WAIT and not self._paused(exchange, failed.fault, attempt):
                return failed
            if counts and failed.fault.remedy is Remedy.WAIT:
                self._tell(f"{named(provider.endpoint)}: {failed.fault.reason}; it is asked again")
        return failed

    def _wait(self, exchange: Exchange) -> Wait:
        limits = self._limits
        deadline = time.monotonic() + limits.minutes * 60
        is_unwanted = unwanted(exchange, lambda: bool(self.over()))
        return Wait(limits.first_token_seconds, limits.silence_seconds, deadline, is_unwanted)

    def _paused(self, exchange: Exchange, fault: Fault, attempt: int) -> bool:
        """Wait before the next try; False where that is too long, or nobody waits any more."""
        wait = fault.retry_after
        if wait is None:
            wait = BACKOFF_SECONDS * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311
        if wait > _LONGEST_WAIT:
            return False
        until = time.monotonic() + wait
        while (left := until - time.monotonic()) > 0:
            if exchange.is_gone():
                raise ClientGone("it did not wait for the answer")
            time.sleep(min(left, 0.25))
        return True

    # --- what came of it

    def _went_well(self, provider: Provider, request: Request) -> None:
        self._current = provider
        if request.has_tools:
            self._fault = None
        if time.monotonic() - self._fit_at >= _SECONDS_BETWEEN_NOTES:
            self._fit_at = time.monotonic()
            health.note_model(self._results, asked_in(provider.endpoint, self._dialect))

    def _went_wrong(self, provider: Provider, request: Request, fault: Fault, *, counts: bool) -> None:
        if not counts:
            return
        self._tell(f"{named(provider.endpoint)}: {fault.reason}")
        if fault.remedy is Remedy.SHORTEN:  # the agent's to mend
            return
        self._fit_at = float("-inf")
        if fault.kind in _NO_FAULT_OF_THE_REQUEST:
            endpoint = asked_in(provider.endpoint, self._dialect)
            health.note_model(
                self._results, endpoint, fault.kind, fault.reason, retry_after=fault.retry_after
            )
        if request.has_tools:
            self._fault = _error_of(provider.endpoint, fault)

    def _note_patience(self, provider: Provider, request: Request, began: float) -> None:
        """An agent that waited for long and hung up has a model that is too slow for it."""
        waited = time.monotonic() - began
        if request.has_tools and waited > _A_LONG_TIME:
            reason = f"the agent hung up after it had waited {waited:.0f} s for an answer"
            self._fault = _error_of(provider.endpoint, Fault(Remedy.LATER, reason, ModelTrouble.SLOW))

    def _give_up(self, exchange: Exchange, failed: Failed) -> None:
        """The server's own error where it is fit to be shown, else one like it."""
        fault = failed.fault
        status = 429 if self.over() else _STATUSES.get(fault.kind, 502)
        message = self.over() or fault.kind.words
        if not exchange.started:
            self._refuse(exchange, failed.refusal or Refusal(status, self._error(status, message)))
        elif not exchange.finished:
            exchange.write(self._rules.error_event(status, message))
            exchange.finish()

    def _count(self, provider: Provider, request: Request, heard: Heard, *, is_left: bool = False) -> None:
        """What an answer cost by its server's own count, and by ours where that never came: who asks must not
        have an answer for nothing by hanging up early (`is_left`)."""
        endpoint = provider.endpoint
        if (told := metered(endpoint, request.characters, heard, is_left=is_left)) is None:
            return
        used, is_guess = told
        self._tally.add(
            used,
            model=endpoint.name,
            url=shown_url(endpoint.base_url),
            estimated=is_guess,
            good=heard.has_ended,
            tools=request.has_tools,
        )
        with self._lock:
            unlimited = self._budget.count(used.cost_usd)
        if unlimited:
            self._tell(unlimited)

    # --- words

    def _error(self, status: int, message: str) -> bytes:
        return json.dumps(self._rules.error(status, message)).encode()

    def _refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        headers = dict(refusal.headers)
        if refusal.status == 429 and self.over():
            headers = {"x-should-retry": "false"}
        exchange.answer(refusal.status, refusal.body, {"content-type": "application/json", **headers})

    def _say_once(self, text: str) -> None:
        if text not in self._said and len(self._said) < _MOST_NOTES:
            self._said.add(text)
            self._tell(text)

    def _tell(self, text: str) -> None:
        with self._lock:
            self._notes += 1
            if self._notes > _MOST_NOTES:
                return
        self._note(text if self._notes < _MOST_NOTES else f"{text}; nothing more is noted of the model")


# What whoever is in the sandbox cannot bring about: other runs heed it, too.
_NO_FAULT_OF_THE_REQUEST = (
    ModelTrouble.AWAY,
    ModelTrouble.BUSY,
    ModelTrouble.SLOW,
    ModelTrouble.REFUSED,
    ModelTrouble.QUOTA,
)
_STATUSES = {
    ModelTrouble.BUSY: 429,
    ModelTrouble.SLOW: 504,
    ModelTrouble.REFUSED: 401,
    ModelTrouble.QUOTA: 429,
    ModelTrouble.UNKNOWN: 404,
    ModelTrouble.REQUEST: 400,
    ModelTrouble.WINDOW: 400,
}


def asked_in(endpoint: Endpoint, dialect: Dialect) -> Endpoint:
    """An endpoint as what is remembered of it goes by: a server may speak one dialect and not another."""
    if dialect == "chat":
        return endpoint
    return replace(endpoint, base_url=f"{endpoint.base_url.rstrip('/')}{DIALECTS[dialect].PATH}")


def _error_of(endpoint: Endpoint, fault: Fault) -> ModelError:
    said = f"no usable model: {named(endpoint)}: {fault.reason}{DOCTOR_TELLS_MORE}"
    return ModelError(said, fault.kind, retry_after=fault.retry_after)
