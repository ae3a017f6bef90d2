"""Sprites as a composition says, and the cleaning of those made for one task."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sprint.config import LocalBackendConfig
from sprint.domain import Phase, Run
from sprint.runs import RunStore
from sprint.sprite import compose, folders
from sprint.sprite.backend import Backend, Sprite, SpriteState, Unreachable
from sprint.sprite.cleaning import clean, judged
from sprint.sprite.composition import load
from sprint.sprite.onlooking import Seen
from tests.some_run import some_run

COURT = load(Path("fae-court"))


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return folders.local("here", LocalBackendConfig(path=str(tmp_path / "sprites")))


def applied(backend: Backend, results: Path, *, execute: bool) -> str:
    out = io.StringIO()
    assert compose.apply(backend, COURT, results, out, execute=execute) == 0
    return out.getvalue()


def test_a_composition_is_shown_made_and_then_as_it_shall_be(backend: Backend, tmp_path: Path) -> None:
    backend.create("willow", {"managed_by": "bb.dispatch", "persona": "willow"})
    backend.create("fern", {"managed_by": "sprint"})
    told = applied(backend, tmp_path, execute=False)
    assert "missing  bramble: Systems & Data" in told
    assert "drifted  willow: version none instead of 1" in told
    assert "extra    fern" in told
    assert {one.name for one in backend.list()} == {"willow", "fern"}
    assert "thorn: made" in applied(backend, tmp_path, execute=True)
    there = {one.name: one for one in backend.list()}
    assert there.keys() == {"bramble", "willow", "thorn", "fern"}
    assert there["bramble"].labels == {"managed_by": "sprint", **COURT.labels("bramble")}
    assert there["willow"].labels["managed_by"] == "bb.dispatch"
    assert b"Bramble" in backend.get("bramble", ".claude/CLAUDE.md")
    mode = backend.exec("bramble", ["stat", "-c", "%a", ".claude/hooks/guard.py"], timeout=60).stdout
    assert mode == b"700\n"
    backend.destroy("fern")
    out = io.StringIO()
    assert compose.show_difference(backend, COURT, out) == 0
    assert out.getvalue() == "all 3 are as Fae Court says\n"
    assert "made" not in applied(backend, tmp_path, execute=True)
    audit = [json.loads(line) for line in (tmp_path / "sprites.jsonl").read_text().splitlines()]
    assert [(line["did"], line["sprite"]) for line in audit] == [("create", "bramble"), ("create", "thorn")]


def test_one_that_was_cut_off_is_gone_on_with(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_args: object, **_more: object) -> None:
        raise Unreachable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(backend, "put", cut)
        with pytest.raises(Unreachable):
            applied(backend, tmp_path, execute=True)
    assert "drifted  bramble" in applied(backend, tmp_path, execute=True)
    assert compose.show_difference(backend, COURT, io.StringIO()) == 0


@pytest.fixture
def a_run() -> Run:
    return some_run(
        id="here-1", repo="a/b", issue=1, started_at=OLD, deadline=NOW, worker="w", phase=Phase.WORKING
    )


NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
OLD = NOW - timedelta(hours=2)


def verdict(store: RunStore, seen: Seen, created: datetime | None = OLD, **labels: str) -> tuple[bool, str]:
    [found] = judged([Sprite("t", SpriteState.UP, labels, created)], [seen], store, NOW)
    return found.is_stale, found.why


def test_which_ephemeral_sprites_are_stale(tmp_path: Path, a_run: Run) -> None:
    store = RunStore(tmp_path)
    idle = Seen({}, NOW)
    assert verdict(store, idle) == (True, "2.0 h old, and no run needs it")
    assert verdict(store, idle, NOW - timedelta(minutes=50))[0] is False
    assert verdict(store, idle, None)[0] is False
    assert verdict(store, Seen({}, NOW, trouble="unreachable: x")) == (False, "unreachable: x")
    assert verdict(store, Seen({"status": "running"}, NOW)) == (False, "its agent is running")
    assert verdict(store, idle, run="elsewhere-1") == (False, "run elsewhere-1 may be another host's")
    assert verdict(store, idle, NOW - timedelta(days=2), run="elsewhere-1")[0] is True
    store.create(a_run)
    assert verdict(store, idle, run="here-1") == (False, "run here-1 is under way")


def test_only_what_sprint_made_for_one_task_is_destroyed(backend: Backend, tmp_path: Path) -> None:
    backend.create("task-1", {"managed_by": "sprint", "mode": "ephemeral"})
    backend.create("bramble", {"managed_by": "sprint"})
    backend.create("bbs", {"managed_by": "bb.dispatch", "mode": "ephemeral"})
    backend.create("mine", {})
    for name in ("task-1", "bramble", "bbs", "mine"):
        about = tmp_path / "sprites" / name / "about.json"
        about.write_text(about.read_text().replace(f"{datetime.now(UTC):%Y}", "2020", 1))
    out = io.StringIO()
    clean(backend, tmp_path, out)
    assert "would go   task-1" in out.getvalue()
    assert len(backend.list()) == 4
    clean(backend, tmp_path, out, execute=True)
    assert {one.name for one in backend.list()} == {"bramble", "bbs", "mine"}
    assert "kept       bbs: bb made it" in out.getvalue()
    assert '"destroy"' in (tmp_path / "sprites.jsonl").read_text()
