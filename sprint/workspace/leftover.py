"""What setup and checks left behind, which is nobody's work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

from sprint.domain import Change

_READABLE = "/ +-_.,:;=@~()[]{}!$&'#"


class Leftovers(Struct, frozen=True):
    """Paths that were new, deleted, and changed (with the blob they were changed to)."""

    files: frozenset[str]
    folders: tuple[str, ...]  # each ends with "/"
    deleted: frozenset[str]
    changed: dict[str, str] = {}

    def covers(self, change: Change) -> bool:
        """Whether this very change was there before the agent was."""
        if change.status == "D":
            return change.path in self.deleted
        if change.path in self.changed:
            return self.changed[change.path] == change.new_sha
        return change.status == "A" and (
            change.path in self.files or change.path.startswith(self.folders or "\0")
        )


def encode(records: Iterable[bytes]) -> tuple[str, ...]:
    """Entries as text that any file format can hold, whatever bytes the paths are made of."""
    return tuple(quote(record, safe=_READABLE) for record in records if record)


def decode(entries: Sequence[str]) -> Leftovers:
    pairs = [
        unquote_to_bytes(entry).decode("utf-8", "surrogateescape").partition(" ")[::2] for entry in entries
    ]
    new = [path for kind, path in pairs if kind == "+"]
    return Leftovers(
        files=frozenset(path for path in new if not path.endswith("/")),
        folders=tuple(path for path in new if path.endswith("/")),
        deleted=frozenset(path for kind, path in pairs if kind == "-"),
        changed={path: kind for kind, path in pairs if kind not in ("+", "-")},
    )
