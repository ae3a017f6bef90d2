"""The repository in which an agent works, looked at from outside."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

COMPLETE = ("TASK_COMPLETE", "TASK_COMPLETE.md")
BLOCKED = ("BLOCKED.md", "BLOCKED")
STATUS = "STATUS.json"
ONE_SHOT, RALPH = ".dispatch-prompt.md", "PROMPT.md"  # where the prompt is, by mode
_LEFT_OUT = (".bb-agent/", STATUS, ONE_SHOT, RALPH, *COMPLETE, *BLOCKED)
_MOST_FILES = 2000  # changed ones that are looked at


class WatchedCheckout:
    """`environ` is that of all that is started there, `own` the files that the supervisor writes itself."""

    def __init__(self, folder: Path, environ: Mapping[str, str], own: Sequence[Path] = ()) -> None:
        self._folder = folder
        inside = [path.relative_to(folder) for path in own if path.is_relative_to(folder)]
        new = [path.with_name(f".{path.name}.*") for path in inside]  # while one is replaced
        self._own = [path.as_posix() for path in (*inside, *new)]
        self._environ = {**environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}

    def prepare(self, branch: str) -> None:
        """On `branch`, if one is named, without the last task's end, and with nothing of ours in a commit."""
        for name in (*COMPLETE, *BLOCKED):  # a false success else
            (self._folder / name).unlink(missing_ok=True)
        if exclude := self._git("rev-parse", "--git-path", "info/exclude"):
            above = self._git("rev-parse", "--show-prefix") or ""
            _leave_out(self._folder / exclude, [f"/{above}{name}" for name in (*_LEFT_OUT, *self._own)])
        if branch and self._git("checkout", "-q", branch) is None:
            self._git("checkout", "-q", "-b", branch)

    def says(self, names: tuple[str, ...]) -> str | None:
        """The beginning of the first of these files that there is; None: there is none."""
        for name in names:
            if (self._folder / name).exists():
                return _beginning(self._folder / name)
        return None

    def head(self) -> str:
        return (self._git("rev-parse", "HEAD") or "").strip()

    def branch(self) -> str | None:
        return self._git("rev-parse", "--abbrev-ref", "HEAD")

    def commits_since(self, base: str) -> int:
        return int((self._git("rev-list", "--count", f"{base}..HEAD") if base else None) or 0)

    def files_changed(self) -> int:
        return (self._git("status", "--porcelain") or "").count("\n")

    def fingerprint(self) -> str:
        """Another one after each commit and each change to a file."""
        changes = self._git("status", "--porcelain", "-z") or ""
        sizes = []
        for name in filter(None, changes.split("\0")[:_MOST_FILES]):
            with contextlib.suppress(OSError):
                about = (self._folder / name[3:]).stat()
                sizes.append(f"{name} {about.st_size} {about.st_mtime_ns}")
        return hashlib.sha256("\n".join([self.head(), changes, *sizes]).encode()).hexdigest()

    def _git(self, *args: str) -> str | None:
        """None where git is not there, refuses or does not answer."""
        argv = ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *args]
        try:
            done = subprocess.run(
                argv,
                cwd=self._folder,
                env=self._environ,
                capture_output=True,
                timeout=20,
                start_new_session=True,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        text = done.stdout.decode("utf-8", "replace")
        return (text.rstrip("\n") if "--porcelain" not in args else text) if done.returncode == 0 else None


def _leave_out(path: Path, names: Sequence[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    there = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    missing = [name for name in names if name not in there]
    if missing:
        path.write_text("\n".join([*there, *missing]) + "\n")


def _beginning(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4000).decode("utf-8", "replace").strip()
    except OSError:
        return ""
