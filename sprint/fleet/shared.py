"""A host's files, and the fleet's database beside them: what `sharing.Sharing` asks for."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from sprint import host, spend, standing_alarms
from sprint.config import Config, Limits
from sprint.domain import Phase, Run, Secret, Together
from sprint.errors import SprintError
from sprint.fleet import hosts, reservations, shipping, tables
from sprint.fleet.database import Connection, DatabaseAway, KeptConnection, checked, url_of
from sprint.fleet.pooled_results import pooled, pooled_before
from sprint.runs import RunStore
from sprint.spend import A_TRIFLE
from sprint.surroundings import Surroundings

_SILENCE_SECONDS = 30.0  # after it did not answer, it is not asked for each little thing

T = TypeVar("T")


_log = logging.getLogger(__name__)


def shared(config: Config, around: Surroundings) -> Shared:
    """Nobody is asked yet. Raises ConfigError where the URL cannot be had."""
    return Shared(config, checked(url_of(config, around)))


class Shared:
    """One process's connection, made when it is needed and again when it broke."""

    def __init__(self, config: Config, url: Secret) -> None:
        self._config = config
        self._results = config.paths.results
        self._store = RunStore(self._results)
        self._lock = threading.RLock()
        self._database = KeptConnection(url, tables.check)
        self._silent_until = 0.0

    # --- one ceiling

    def why_not_now(self, ceiling: float) -> str:
        try:
            spent, kept = self._ask(reservations.counted)
        except SprintError as error:
            return f"no run begins: {error}"
        return reservations.full(spent, kept, ceiling) if spent + kept >= ceiling else ""

    def reserve(self, run: Run, limits: Limits) -> str:
        if limits.usd_per_day is None:
            return ""
        usd, why = reservations.amount(self._config, run, limits)
        ceiling = limits.usd_per_day

        def keep(database: Connection) -> str:
            own = hosts.say_hello(database, self._config)
            shipping.ship_spend(database, self._results, own)
            return reservations.keep(database, own, run, usd, ceiling, why)

        try:
            refused = self._ask(keep)
        except SprintError as error:
            return f"no run begins: {error}"
        if not refused:
            self._keep(run.id, usd)
            said = f" ({why})" if why else ""
            _log.info("run %s keeps $%.2f of the day's $%.2f%s", run.id, usd, ceiling, said)
        return refused

    def kept(self, run_id: str) -> float:
        """As the run's folder has it, which needs no database; of one that was taken over, the database."""
        known = spend.kept(self._store.folder(run_id))
        if known is not None:
            return known
        usd = self._ask(lambda database: reservations.kept_by(database, run_id))
        self._keep(run_id, usd)
        return usd

    def _keep(self, run_id: str, usd: float) -> None:
        spend.keep(self._store.folder(run_id), usd)

    def more(self, run_id: str, usd: float, ceiling: float) -> str:
        with self._lock:
            if usd < self.kept(run_id) - A_TRIFLE:
                return ""
            step = self._config.fleet.reserve_usd if self._config.fleet else 0.0

            def extend(database: Connection) -> float | str:
                own = hosts.say_hello(database, self._config)
                shipping.ship_spend(database, self._results, own)
                return reservations.extend(database, own, run_id, step, ceiling)

            found = self._ask(extend)
            if isinstance(found, str):
                return f"limits.usd_per_day: {found}"
            self._keep(run_id, found)
            return ""

    # --- one ledger

    def saved(self, run: Run) -> None:
        if time.monotonic() < self._silent_until:
            return

        def tell(database: Connection) -> None:
            own = hosts.say_hello(database, self._config)
            if run.phase is not Phase.SETTLED:
                shipping.ship_run(database, self._store, run, own)
                return
            shipping.ship_spend(database, self._results, own)
            reservations.give_back(database, run.id, own)
            shipping.forget_run(database, run.id, own)

        with contextlib.suppress(SprintError):
            self._ask(tell)

    def ship(self) -> None:
        try:
            self._ask(lambda database: shipping.ship(database, self._config))
        except SprintError as error:
            if standing_alarms.alarm_due(self._results, standing_alarms.FLEET, str(error), datetime.now(UTC)):
                _log.warning("%s; what is new here is shared later", error)

    def tick_soon(self, forge: str, repo: str) -> bool:
        from sprint.fleet import ticks  # Procrastinate, which no tick needs

        found = next((one for one in self._config.repos if (one.forge, one.name) == (forge, repo)), None)
        try:
            if found is None or not self._ask(lambda database: hosts.takers(database, forge, repo)):
                return False
            self._ask(lambda database: ticks.put_in(database, found))
        except SprintError as error:
            _log.info("%s: a tick is started here, for %s", repo, error)
            return False
        return True

    def left_behind(self, forge: str, repo: str) -> Sequence[tuple[Run, dict[str, str]]]:
        try:
            return self._ask(
                lambda database: shipping.left_behind(database, self._own, forge, repo, self._lost_after)
            )
        except SprintError as error:
            _log.debug("what other hosts have left is not known: %s", error)
            return ()

    def took_over(self, run: Run) -> None:
        self._ask(lambda database: shipping.take_over(database, self._store, run, self._own))

    def is_elsewhere(self, run_id: str) -> bool:
        return self._ask(lambda database: shipping.is_elsewhere(database, run_id, self._own))

    def is_lost(self, host_id: str) -> bool:
        return self._ask(lambda database: hosts.is_lost(database, host_id, self._lost_after))

    @property
    def _lost_after(self) -> timedelta:
        return timedelta(minutes=self._config.fleet.lost_minutes if self._config.fleet else 0.0)

    @property
    def _own(self) -> str:
        return host.known_id(self._results)

    def together(self) -> Together:
        folder = self._config.paths.cache / "fleet"
        try:
            self._ask(lambda database: shipping.ship(database, self._config))
            return self._ask(lambda database: pooled(database, folder))
        except SprintError as error:
            _log.debug("the fleet's database", exc_info=True)
            return pooled_before(folder, self._results, str(error))

    # --- asking

    def _ask(self, asked: Callable[[Connection], T]) -> T:
        """Ask the database, once more where the connection had died meanwhile. Raises SprintError."""
        with self._lock:
            had_one = self._database.is_open
            try:
                return asked(self._database.get())
            except DatabaseAway:
                self._database.drop()
                if not had_one:
                    self._silent_until = time.monotonic() + _SILENCE_SECONDS
                    raise
            try:
                return asked(self._database.get())
            except DatabaseAway:
                self._database.drop()
                self._silent_until = time.monotonic() + _SILENCE_SECONDS
                raise
