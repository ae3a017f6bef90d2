"""What doctor says of backends: who answers, what is there, and whether the model answers from there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sprint.config import Config, LocalBackendConfig, load
from sprint.domain import Grade
from sprint.sprite import backends, examining, folders
from sprint.sprite.backend import Sprite, SpriteState
from sprint.sprite.examining import examine
from sprint.sprite.visit import Visit
from tests.around import around
from tests.servers.loopback import Answer, LoopbackServer, Request


def configured(tmp_path: Path, url: str, **more: str) -> Config:
    (tmp_path / "key").write_text("limited-key-1")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "sprint.yaml").write_text(
        f"""
forges: {{home: {{kind: gitea, url: "https://git.example.org"}}}}
model: {{name: m, base_url: "{url}", api_key_file: key}}
backends:
  here: {{kind: local, path: sprites}}
  away: {{kind: sprites, base_url: "{url}", token_file: key}}
workers:
  far: {{kind: sprite, backend: here, sprites: [bramble], key: file, key_file: key}}
"""
    )
    return load(tmp_path / "sprint.yaml", around(tmp_path))


@contextmanager
def answering(status: int) -> Iterator[str]:
    def answer(request: Request) -> Answer:
        good = (request.path, request.headers["authorization"]) == ("/v1/models", "Bearer limited-key-1")
        return Answer(status if good else 418)

    with LoopbackServer(answer) as server:
        yield f"{server.url}/v1"


@pytest.mark.parametrize(
    ("found", "grade", "says"),
    [
        ({}, Grade.OK, "Python 3.12.3, git version 2.47.0, 9000 MB free"),
        ({"python": [3, 9, 2]}, Grade.FAULT, "its Python is 3.9.2; install 3.10 or newer there"),
        ({"git": ""}, Grade.FAULT, "no git there; install it"),
        ({"free_mb": 100}, Grade.FAULT, "its disk has 100 MB left; make room"),
    ],
)
def test_what_a_sprite_is_not_fit_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], grade: Grade, says: str
) -> None:
    usual = {"python": [3, 12, 3], "git": "git version 2.47.0", "free_mb": 9000}
    monkeypatch.setattr(Visit, "ask", lambda visit, errand, **args: {**usual, **found})
    here = folders.local("here", LocalBackendConfig(path=str(tmp_path)))
    told = examining._machine(here, Sprite("bramble", SpriteState.UP))
    assert (told.grade, told.says) == (grade, says)


@pytest.mark.parametrize(
    ("status", "grade", "says"),
    [
        (200, Grade.OK, "answers bramble with HTTP 200"),
        (401, Grade.FAULT, "refuses the key, asked from bramble"),
        (404, Grade.WARNING, "HTTP 404"),
    ],
)
def test_the_key_is_tried_from_the_sprite(tmp_path: Path, status: int, grade: Grade, says: str) -> None:
    with answering(status) as url:
        config = configured(tmp_path, url)
        backends.opened(config, "here", around(tmp_path)).create("bramble", {})
        found = {one.what: one for one in examine(config, around(tmp_path), deep=True)}
    assert found["backend here"].says == "answers; 1 sprites"
    assert found["backend away"].grade is Grade.FAULT
    assert found["sprite bramble"].says.startswith("Python 3.")
    assert (found["worker far model"].grade, says in found["worker far model"].says) == (grade, True)


def test_what_is_away_is_one_line(tmp_path: Path) -> None:
    config = configured(tmp_path, "http://127.0.0.1:9")
    backends.opened(config, "here", around(tmp_path)).create("bramble", {})
    found = {one.what: one for one in examine(config, around(tmp_path), deep=True)}
    told = found["worker far model"]
    assert (told.grade, told.says) == (
        Grade.FAULT,
        "http://127.0.0.1:9 cannot be reached from bramble: ConnectionRefusedError",
    )
    assert "limited-key" not in str(found)
