"""A worker on sprites at its edges: whose turn it is, what is given back, what cannot be reached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint.config import (
    BackendConfig,
    LocalBackendConfig,
    SpritesBackendConfig,
    SpriteWorkerConfig,
    SshBackendConfig,
)
from sprint.domain import Liveness, Outcome, Run, replace
from sprint.errors import Busy
from sprint.runs import RunStore
from sprint.sprite import folders
from sprint.sprite.backend import Backend, Failed, Refused, SpriteState, Unreachable
from sprint.sprite.visit import Visit
from sprint.worker import Services
from sprint.worker.sprite import note as notes
from sprint.worker.sprite.chosen import CLEAN, Choice
from sprint.worker.sprite.ground import is_confined
from sprint.worker.sprite.note import Note
from sprint.worker.sprite.sprite_worker import SpriteWorker
from tests.around import around
from tests.sprite.far_work import run_of
from tests.worker.conftest import NO_CONFIG

CONFIG = SpriteWorkerConfig(agent="command", command="true", sprites=("bramble", "willow"))


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return folders.local("here", LocalBackendConfig(path=str(tmp_path / "sprites")))


@pytest.fixture
def choice(backend: Backend, tmp_path: Path) -> Choice:
    return Choice(backend, CONFIG, tmp_path / "results", ())


@pytest.fixture
def worker(backend: Backend, tmp_path: Path) -> Callable[..., SpriteWorker]:
    def make(config: SpriteWorkerConfig = CONFIG, of: Backend = backend) -> SpriteWorker:
        section = LocalBackendConfig(path=str(tmp_path / "sprites"), sandbox="none")
        services = Services(
            lambda: (),
            RunStore(tmp_path / "results"),
            tmp_path / "results",
            NO_CONFIG.defaults.limits,
            around(tmp_path),
            NO_CONFIG,
        )
        return SpriteWorker(config, section, of, services)

    return make


def noted(tmp_path: Path, run: Run, sprite: str = "bramble") -> None:
    RunStore(tmp_path / "results").create(run)
    home = str(tmp_path / "sprites" / sprite / "home")
    notes.save(RunStore(tmp_path / "results").folder(run.id), Note(sprite=sprite, home=home))


def test_each_run_has_a_sprite_of_its_own_until_none_is_left(choice: Choice, backend: Backend) -> None:
    first, home = choice.take(run_of(1))
    assert (first.sprite, home) == ("bramble", f"{backend._shell.folder}/bramble/home")  # type: ignore[attr-defined]
    assert choice.take(run_of(1))[0].sprite == "bramble", "the same one, however often"
    assert choice.take(run_of(2))[0].sprite == "willow"
    with pytest.raises(Busy, match=r"bramble has run 2026.*-1-"):
        choice.take(run_of(3))
    with pytest.raises(Busy):
        choice.check()
    first.ask("free", run=run_of(1).id)
    choice.check()
    assert choice.take(run_of(3))[0].sprite == "bramble"
    assert [one.comment for one in backend.checkpoints("bramble")] == [CLEAN]


def test_what_is_wrong_is_said_before_what_is_taken(choice: Choice, backend: Backend) -> None:
    choice.take(run_of(1))
    missing = replace(choice, programs=("no-such-agent",))
    with pytest.raises(Refused, match="no no-such-agent there; install it"):
        missing.take(run_of(2))
    assert Visit(backend, "willow").ask("probe", programs=[])["reservation"] is None


def test_a_bootstrap_that_fails_holds_no_sprite(choice: Choice, backend: Backend) -> None:
    broken = replace(choice, config=SpriteWorkerConfig(agent="command", command="true", bootstrap=("false",)))
    with pytest.raises(Refused, match="bootstrap: 'false' failed"):
        broken.take(run_of(1))
    assert Visit(backend, "sprint-1").ask("probe", programs=[])["reservation"] is None


def test_a_sprite_of_one_run_is_made_for_it_and_goes_with_it(
    worker: Callable[..., SpriteWorker], backend: Backend, tmp_path: Path
) -> None:
    config = SpriteWorkerConfig(agent="command", command="true", mode="ephemeral")
    made = worker(config)
    visit, _ = made._choice.take(run_of(7))
    assert visit.sprite == "sprint-widgets-7-0000abc7"
    (sprite,) = backend.list()
    assert sprite.labels == {"managed_by": "sprint", "mode": "ephemeral", "run": run_of(7).id}
    noted(tmp_path, run_of(7), visit.sprite)
    for _ in range(2):
        made.release(run_of(7), Outcome.PR_OPENED)
    assert backend.state(visit.sprite) is SpriteState.GONE
    audit = (tmp_path / "results" / "sprites.jsonl").read_text()
    assert '"did":"destroy"' in audit.replace(" ", "")


def test_one_that_somebody_else_made_is_never_destroyed(
    worker: Callable[..., SpriteWorker], backend: Backend, tmp_path: Path
) -> None:
    backend.create("sprint-widgets-7-0000abc7", {"managed_by": "bb.dispatch"})
    noted(tmp_path, run_of(7), "sprint-widgets-7-0000abc7")
    config = SpriteWorkerConfig(agent="command", command="true", mode="ephemeral")
    with pytest.raises(Failed, match="does not bear managed_by=sprint"):
        worker(config).release(run_of(7), Outcome.PR_OPENED)
    assert backend.state("sprint-widgets-7-0000abc7") is SpriteState.UP


def test_off_the_rails_it_goes_back_to_its_clean_state_and_is_free(
    worker: Callable[..., SpriteWorker], backend: Backend, tmp_path: Path
) -> None:
    made = worker()
    made._choice.take(run_of(1))
    noted(tmp_path, run_of(1))
    backend.put("bramble", "mess", b"x")
    made.release(run_of(1), Outcome.OFF_RAILS)
    assert backend.exec("bramble", ["ls"], timeout=60).stdout == b""
    assert Visit(backend, "bramble").ask("probe", programs=[])["reservation"] is None


def test_successes_are_kept_and_do_not_fill_the_disk(
    worker: Callable[..., SpriteWorker], backend: Backend, tmp_path: Path
) -> None:
    made = worker()
    for number in range(1, 6):
        made._choice.take(run_of(number))
        noted(tmp_path, run_of(number))
        made.release(run_of(number), Outcome.PR_OPENED)
    kept = [(one.id, one.comment) for one in backend.checkpoints("bramble")]
    assert kept == [("v1", CLEAN), *((f"v{n + 1}", f"sprint: {run_of(n).id}") for n in (3, 4, 5))]


class Away:
    """A backend that has gone: whatever is asked, nobody answers. So does one that is frozen, in the end."""

    kind, name = "local", "here"

    def __getattr__(self, name: str) -> Any:
        def unreachable(*args: Any, **kwargs: Any) -> Any:
            raise Unreachable("here is unreachable: no answer")

        return unreachable


def test_one_that_does_not_answer_is_not_called_dead(
    worker: Callable[..., SpriteWorker], tmp_path: Path
) -> None:
    """Bitterblossom's failures 7, 10 and 11."""
    away: Any = Away()
    made = worker(of=away)
    assert made.poll(run_of(1)).liveness is Liveness.ABSENT
    noted(tmp_path, run_of(1))
    assert made.poll(run_of(1)).liveness is Liveness.UNKNOWN
    with pytest.raises(Unreachable):
        made.stop(run_of(1))
    with pytest.raises(Unreachable):
        made._choice.check()


def test_a_machine_without_a_sandbox_has_to_be_meant() -> None:
    sections: list[tuple[BackendConfig, bool]] = [
        (LocalBackendConfig(path="/x"), True),
        (LocalBackendConfig(path="/x", sandbox="none"), False),
        (SshBackendConfig(host="box"), True),
        (SshBackendConfig(host="box", sandbox="none"), False),
        (SpritesBackendConfig(), False),
    ]
    for section, confined in sections:
        assert is_confined(section) is confined
