"""What doctor says of backends: who answers, what is there, and whether the model answers from there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from sprint.config import Config, load
from sprint.domain import Grade
from sprint.sprite import backends
from sprint.sprite.examining import examine
from tests.around import around


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
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            good = (self.path, self.headers["Authorization"]) == ("/v1/models", "Bearer limited-key-1")
            self.send_response(status if good else 418)
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


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
