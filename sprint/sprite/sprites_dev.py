"""Sprites at sprites.dev, by their own SDK, which is imported when the first one is asked for.

Its errors are many, and raised for other things than their names say: `_mapped` makes ours of them.
"""

from __future__ import annotations

import io
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from sprint import proc
from sprint.config import SpritesBackendConfig
from sprint.domain import Secret
from sprint.errors import ConfigError, how_to_install
from sprint.sprite.backend import (
    FILE_CAP,
    BackendError,
    Checkpoint,
    Done,
    Failed,
    Missing,
    Refused,
    Sprite,
    SpriteState,
    Unreachable,
    check_size,
    checked,
    kind_of_failure,
    repeated,
    shown,
)

T = TypeVar("T")

HOME = "/home/sprite"
_PATH = f"{HOME}/.local/bin:{proc.SEARCH_PATH}"
_PART = 8 << 20  # bytes of one write: the SDK holds several copies of it in memory
_OUTPUT = 10_000_000
_PAUSE = 1.0
_SILENT_SECONDS = 30.0  # of a server that has stopped answering; checkpoints and creation have longer ones
_STATES = {"running": SpriteState.UP, "warm": SpriteState.UP, "cold": SpriteState.ASLEEP}
_STATUS = re.compile(r"(?:\(status|HTTP|status code:?) (\d{3})\b")
_GET = 'if [ -f "$1" ]; then stat -Lc %s "$1"; else exit 90; fi'
_JOIN = """\
umask 077; mkdir -p "$(dirname "$1")" && cat "$1".part-* >"$1.whole" && chmod "$2" "$1.whole" &&
mv -f "$1.whole" "$1" && rm -f "$1".part-*
"""


class SpritesBackend:
    """Paths are from /home/sprite. A time limit is that of the call: the command itself may go on there."""

    kind = "sprites"

    def __init__(self, name: str, config: SpritesBackendConfig, token: Secret) -> None:
        self.name, self.at_once = name, 200
        os.environ.setdefault("SPRITES_CLIENT_SIGNALS", "0")  # it tells what it runs under, else
        try:
            import sprites
        except ImportError as error:
            raise ConfigError(f"backends.{name}: its SDK is missing: {how_to_install('sprites')}") from error
        self._sdk = sprites
        self._client = sprites.SpritesClient(
            token.reveal(), base_url=config.base_url, timeout=_SILENT_SECONDS
        )

    def create(self, sprite: str, labels: Mapping[str, str]) -> None:
        named = _written(labels)
        if self.state(checked(sprite)) not in (SpriteState.GONE, SpriteState.UNKNOWN):
            raise Refused(f"{self.name} has a sprite {sprite} already")
        self._ask(f"create {sprite}", lambda: self._client.create_sprite(sprite, labels=named))

    def label(self, sprite: str, labels: Mapping[str, str]) -> None:
        change = partial(self._client.update_sprite, checked(sprite), labels=_written(labels))
        self._again(f"label {sprite}", change)

    def list(self) -> Sequence[Sprite]:
        found: list[Sprite] = []
        token: str | None = None
        while True:
            options = self._sdk.ListOptions(max_results=100, continuation_token=token)
            page = self._again("list the sprites", partial(self._client.list_sprites, options))
            found += [_sprite(one) for one in page.sprites]
            token = page.next_continuation_token
            if not page.has_more or not token:
                return found

    def state(self, sprite: str) -> SpriteState:
        try:
            known = self._again(f"look at {sprite}", lambda: self._client.get_sprite(checked(sprite)))
        except Missing:
            return SpriteState.GONE
        except BackendError:
            return SpriteState.UNKNOWN
        return _STATES.get(str(getattr(known, "status", "")), SpriteState.UNKNOWN)

    def exec(
        self,
        sprite: str,
        argv: Sequence[str],
        *,
        timeout: float,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> Done:
        out, err = _Sink(), _Sink()
        command = self._client.sprite(checked(sprite)).command(
            *argv,
            env={"PATH": _PATH, "HOME": HOME, "LANG": "C.UTF-8", **(env or {})},  # it replaces all there is
            cwd=HOME,
            stdin=io.BytesIO(stdin) if stdin else None,
            stdout=out,
            stderr=err,
            timeout=timeout,
        )
        what = f"run {shown(argv)} on {sprite}"
        began = time.monotonic()
        try:
            command.run()
        except self._sdk.ExecError:
            pass  # a code other than 0
        except Exception as error:
            if time.monotonic() - began >= timeout:  # sooner it is the handshake that took too long
                raise Failed(f"{self.name}: cannot {what}: it did not end within {timeout:g} s") from error
            raise self._mapped(error, what) from error
        return Done(command.exit_code, out.getvalue(), err.getvalue())

    def put(self, sprite: str, path: str, data: bytes, *, mode: int = 0o600) -> None:
        check_size(path, data)
        files = self._client.sprite(checked(sprite)).filesystem(HOME)
        parts = max(1, -(-len(data) // _PART))
        what = f"write {path} on {sprite}"
        self.exec(sprite, ["sh", "-c", 'rm -f "$1".part-*', "sh", path], timeout=60.0)
        for number in range(parts):
            part = data[number * _PART : (number + 1) * _PART]
            file = files / f"{path}.part-{number:04}"
            self._again(what, partial(file.write_bytes, part, mode=0o600))
        done = self.exec(sprite, ["sh", "-c", _JOIN, "sh", path, f"{mode:o}"], timeout=300.0)
        if done.exit_code:
            raise self._failed(done, what)

    def get(self, sprite: str, path: str, *, cap: int = FILE_CAP) -> bytes:
        what = f"read {path} on {sprite}"
        size = self.exec(sprite, ["sh", "-c", _GET, "sh", path], timeout=60.0)
        if size.exit_code == 90:
            raise Missing(f"{self.name}: there is no {path} on sprite {sprite}")
        if size.exit_code or not size.stdout.strip().isdigit():
            raise self._failed(size, what)
        if int(size.stdout) > cap:
            raise Refused(f"{self.name}: {path} on sprite {sprite} is larger than it may be")
        file = self._client.sprite(sprite).filesystem(HOME) / path
        data: bytes = self._again(what, file.read_bytes)
        if len(data) > cap:
            raise Refused(f"{self.name}: {path} on sprite {sprite} is larger than it may be")
        return data

    def checkpoint(self, sprite: str, comment: str = "") -> Checkpoint:
        """Its id is in no field of the answer: it is the one that is listed after and was not before."""
        before = {one.id for one in self.checkpoints(sprite)}
        handle, what = self._client.sprite(sprite), f"checkpoint {sprite}"
        self._complete(self._ask(what, lambda: list(handle.create_checkpoint(comment))), what)
        new = [one for one in self.checkpoints(sprite) if one.id not in before]
        if not new:
            raise Failed(f"{self.name}: cannot {what}: it said that it did, and there is none")
        return next((one for one in reversed(new) if one.comment == comment), new[-1])

    def checkpoints(self, sprite: str) -> Sequence[Checkpoint]:
        handle = self._client.sprite(checked(sprite))
        found = self._again(f"list the checkpoints of {sprite}", handle.list_checkpoints)
        listed = [Checkpoint(str(one.id), str(one.comment or ""), one.create_time) for one in found]
        return sorted(listed, key=lambda one: str(one.created))

    def restore(self, sprite: str, checkpoint: str) -> None:
        """Of another sprite's checkpoint it says that it was restored: it is looked for first."""
        if checkpoint not in {one.id for one in self.checkpoints(sprite)}:
            raise Missing(f"{self.name}: there is no checkpoint {checkpoint} on sprite {sprite}")
        handle, what = self._client.sprite(sprite), f"restore {checkpoint} on {sprite}"
        self._complete(self._ask(what, lambda: list(handle.restore_checkpoint(checkpoint))), what)

    def destroy(self, sprite: str) -> None:
        try:
            self._again(f"destroy {sprite}", lambda: self._client.destroy_sprite(checked(sprite)))
        except Missing:
            return

    def _complete(self, events: Sequence[Any], what: str) -> None:
        """A stream that was cut, or holds an error, raises nothing by itself."""
        for event in events:
            if event.type == "error" or event.error:
                raise Failed(f"{self.name}: cannot {what}: {str(event.error or event.data)[:300]}")
        if not any(event.type == "complete" for event in events):
            raise Unreachable(f"{self.name}: cannot {what}: the answer was cut off")

    def _failed(self, done: Done, what: str) -> BackendError:
        said = done.stderr.decode("utf-8", "replace").strip()[-300:] or f"exit code {done.exit_code}"
        return kind_of_failure(said)(f"{self.name}: cannot {what}: {said}")

    def _again(self, what: str, ask: Callable[[], T]) -> T:
        """For what may be done twice."""
        return repeated(partial(self._ask, what, ask), pause=_PAUSE)

    def _ask(self, what: str, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except BackendError:
            raise
        except Exception as error:
            raise self._mapped(error, what) from error

    def _mapped(self, error: Exception, what: str) -> BackendError:
        text = f"{self.name}: cannot {what}"
        status = getattr(error, "status_code", None)
        if status is None and (found := _STATUS.search(str(error))):
            status = int(found[1])
        if isinstance(error, self._sdk.NotFoundError) or status == 404 or "not found" in str(error).lower():
            return Missing(f"{text}: there is none")
        if isinstance(error, self._sdk.AuthenticationError) or status in (401, 403):
            return Refused(f"{text}: the token is refused")
        if status == 429:
            wait = getattr(error, "retry_after_seconds", None) or getattr(error, "retry_after_header", None)
            return Refused(f"{text}: too many requests" + (f"; try again in {wait} s" if wait else ""))
        if status is not None and 400 <= status < 500:
            return Refused(f"{text}: {' '.join(str(error).split())[:300]}")
        if isinstance(error, json.JSONDecodeError | KeyError | AttributeError | TypeError):
            return Failed(f"{text}: what answers there is no sprites.dev ({type(error).__name__})")
        return Unreachable(f"{text}: {' '.join(str(error).split())[:300] or type(error).__name__}")


class _Sink(io.BytesIO):
    """Keeps so much and no more."""

    def write(self, data: Any) -> int:
        super().write(bytes(data)[: max(0, _OUTPUT - self.tell())])
        return len(data)


def _written(labels: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in labels.items()]


def _sprite(info: Any) -> Sprite:
    labels = dict(label.split("=", 1) for label in (info.labels or ()) if "=" in label)
    return Sprite(info.name, _STATES.get(str(info.status), SpriteState.UNKNOWN), labels, info.created_at)
