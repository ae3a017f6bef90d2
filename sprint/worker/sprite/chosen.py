"""Which sprite a run gets, and that no other run has it meanwhile."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sprint.clean_text import safe_line
from sprint.config import SpriteWorkerConfig
from sprint.domain import Run
from sprint.errors import Busy, SprintError
from sprint.sprite import audit
from sprint.sprite.backend import Backend, BackendError, Refused, SpriteState
from sprint.sprite.compose import furnish
from sprint.sprite.composition import EPHEMERAL, MANAGED_BY, MODE, OURS, RUN, Composition
from sprint.sprite.onlooking import sprite_of
from sprint.sprite.routing import ranked
from sprint.sprite.visit import Visit, unfit
from sprint.worker.sprite.installing import how, install_agent, run_there

CLEAN = "sprint: clean"
_GRACE = timedelta(hours=1)  # for the tick that settles the run

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """Chooses among the sprites of one worker. `results` has the audit's lines; `programs` are those that the
    work needs on the sprite. With a `composition` its sprites, by what suits the issue's labels."""

    backend: Backend
    config: SpriteWorkerConfig
    results: Path
    programs: Sequence[str]
    composition: Composition | None = None

    @property
    def is_ephemeral(self) -> bool:
        return self.config.mode == EPHEMERAL

    def check(self) -> None:
        """See that one is free and fit, or can be made. Raises BackendError, and Busy where all are taken."""
        if self.is_ephemeral:
            self.backend.list()
            return
        faults: list[SprintError] = []
        for name in self.config.sprites:
            try:
                state = self.backend.state(name)
                if state is SpriteState.GONE:
                    self.backend.list()  # it can be made, where anybody answers
                    return
                found = self._seen(name)
                brings_it = self.config.bootstrap or how(self.config)
                if (why := _lacks(name, found)) and not brings_it:
                    raise Refused(why)
                return
            except SprintError as error:
                faults.append(error)
        raise _worst(faults)

    def take(self, run: Run) -> tuple[Visit, str]:
        """A sprite that is the run's own from now on, and its home; the same one however often it is asked.
        Raises BackendError, and Busy where all are taken."""
        faults: list[SprintError] = []
        for name in self.names(run):
            try:
                self._create(name, run)
                found = self._seen(name, run)
                visit = Visit(self.backend, name)
                self._reserve(visit, run)
                try:
                    found = self._bootstrap(visit, run, found)
                except Refused:
                    visit.ask("free", run=run.id)
                    raise
                return visit, str(found["home"])
            except SprintError as error:
                _log.info("sprite %s cannot be had: %s", name, error)
                faults.append(error)
        raise _worst(faults)

    def names(self, run: Run) -> Sequence[str]:
        if not self.is_ephemeral and self.composition:
            return [one.sprite for one in ranked(run.labels, self.composition.members)]
        if not self.is_ephemeral:
            return self.config.sprites
        filled = self.config.name.format(repo=run.repo.partition("/")[2], issue=run.issue or "task")
        plain = re.sub(r"[^a-z0-9]+", "-", filled.lower()).strip("-")[:50].strip("-")
        return (f"{plain}-{run.id[-8:]}",)

    def why(self, run: Run, sprite: str) -> str:
        """Why the run's work went to that one; "" where nothing but the order of names says so."""
        routes = ranked(run.labels, self.composition.members) if self.composition else []
        return next((one.reason for one in routes if one.sprite == sprite), "")

    def _create(self, name: str, run: Run) -> None:
        if self.backend.state(name) is SpriteState.GONE:
            try:
                own = {MODE: EPHEMERAL, RUN: run.id} if self.is_ephemeral else {}
                self.backend.create(name, {MANAGED_BY: OURS, **own})
                audit.note(self.results, self.backend.name, "create", name)
            except Refused:
                if self.backend.state(name) is SpriteState.GONE:
                    raise

    def _bootstrap(self, visit: Visit, run: Run, found: Mapping[str, Any]) -> Mapping[str, Any]:
        """Once, and then its clean state is kept, to go back to; the agent also where it is missing later.
        What is there then. Raises Refused."""
        name = visit.sprite
        is_kept = bool(self.config.bootstrap) or not self.is_ephemeral
        is_new = is_kept and not any(one.comment == CLEAN for one in self.backend.checkpoints(name))
        if is_new:
            if self.composition and name in self.composition.members:
                furnish(self.backend, self.composition, name, sprite_of(self.backend, name).labels)
            for command in self.config.bootstrap:
                run_there(self.backend, name, ["sh", "-c", command], f"bootstrap: {command!r}")
            found = self._seen(name, run)
        if _lacks(name, found) and how(self.config):
            said = install_agent(self.backend, name, self.config)
            _log.info("sprite %s: %s", name, safe_line(said))
            found = self._seen(name, run)
        if why := _lacks(name, found):
            raise Refused(why)
        if is_new:
            self.backend.checkpoint(name, CLEAN)
        return found

    def _seen(self, name: str, run: Run | None = None) -> Mapping[str, Any]:
        """What is there, seen to be free for the run. Raises Refused, and Busy where another has it."""
        found = Visit(self.backend, name).ask("probe", programs=list(self.programs))
        if why := unfit(found):
            raise Refused(f"sprite {name}: {why}")
        held = found["reservation"]
        if held and held["seconds_left"] > 0 and (run is None or held["run"] != run.id):
            raise _taken(name, held)
        return found

    def _reserve(self, visit: Visit, run: Run) -> None:
        answer = visit.ask("reserve", run=run.id, runner=run.host, seconds=seconds_for(run))
        if not answer["held"]:
            raise _taken(visit.sprite, answer)


def _lacks(name: str, found: Mapping[str, Any]) -> str:
    """Which program the work needs and does not find there, "" where it finds all."""
    missing = next((program for program, path in found["programs"].items() if not path), "")
    return f"sprite {name}: no {missing} there; install it, or name it with `program:`" if missing else ""


def seconds_for(run: Run) -> float:
    """How long the run may have its sprite."""
    return max((run.deadline + _GRACE - datetime.now(UTC)).total_seconds(), _GRACE.total_seconds())


def _taken(name: str, held: dict[str, Any]) -> Busy:
    minutes = max(1, round(float(held["seconds_left"]) / 60))
    return Busy(f"sprite {name} has run {held['run'] or '?'}, for {minutes} minutes at most")


def _worst(faults: Sequence[SprintError]) -> SprintError:
    """What is wrong, before what is only taken."""
    return next((fault for fault in faults if isinstance(fault, BackendError)), faults[0])
