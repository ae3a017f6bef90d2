"""read_file, write_file and edit_file: done by small shell scripts inside the sandbox, so that no link and no
race leads the runner to a file of its own."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from sprint.domain import Completed
from sprint.terminal_text import decoded
from sprint.worker.local.tools import BadCall, EditFile, ReadFile, WriteFile

LARGEST_EDITED = 2_000_000
_LONGEST_LINE = 2_000
_SECONDS = 30.0

# Each script gets the path as $1. The workspace is the folder that the checkout is in.
_LOCATE = """
case $1 in /*) p=$1 ;; *) p=./$1 ;; esac
p=$(realpath -m -- "$p") || exit 66
root=$(dirname -- "$(pwd -P)")
case $p in "$root"/*) ;; *) exit 66 ;; esac
"""
_MUST_BE_FILE = """
[ -d "$p" ] && { ls -Ap -- "$p" | head -n 200; exit 68; }
[ -e "$p" ] || { ls -Ap -- "$(dirname -- "$p")" 2>/dev/null | head -n 200; exit 67; }
[ -f "$p" ] || exit 69
[ -r "$p" ] || exit 70
"""
_READ = f"{_LOCATE}{_MUST_BE_FILE}" + 'wc -l <"$p" >&2; tail -n "+$2" -- "$p" | head -n "$3" | head -c "$4"'
_WHOLE = f"{_LOCATE}{_MUST_BE_FILE}" + 'head -c "$2" -- "$p"'
_WRITE = f"""{_LOCATE}
[ -d "$p" ] && exit 68
if [ -e "$p" ]; then [ -f "$p" ] || exit 69; echo replaced; else echo created; fi
mkdir -p -- "$(dirname -- "$p")" && cat >"$p"
"""
_APPEND = f'{_LOCATE}mkdir -p -- "$(dirname -- "$p")" && cat >>"$p"'

RunScript = Callable[[Sequence[str], bytes, float, int], Completed]
"""Runs argv in the sandbox with a stdin, a timeout in seconds and an output cap in bytes."""


class FileTools:
    def __init__(self, run: RunScript) -> None:
        self._run = run

    def read(self, call: ReadFile, budget: int) -> str:
        """At most about `budget` characters of a file, whole lines. Raises BadCall."""
        done = self._script(
            _READ, call.path, str(call.offset), str(call.limit), str(budget * 4), cap=budget * 8
        )
        if b"\0" in done.stdout:
            raise BadCall(
                "binary file", f"{call.path} is a binary file; look at it with a command, like file or xxd."
            )
        total = _number(done.stderr)
        lines = decoded(done.stdout).split("\n")
        shown: list[str] = []
        if lines[-1] == "":
            lines.pop()
        used = 0
        for line in lines:
            kept = line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}[... the line goes on]"
            used += len(kept) + 1
            if shown and used > budget:
                break
            shown.append(kept)
        if not shown:
            return f"[{call.path} is empty]" if not total else f"[{call.path} has {total} lines]"
        last = call.offset + len(shown) - 1
        rest = (
            f"\n[lines {call.offset} to {last} of {max(total, last)}"
            if call.offset > 1 or last < total
            else ""
        )
        if rest:
            rest += f"; go on with offset {last + 1}]" if last < total else "]"
        return "\n".join(shown) + rest

    def write(self, call: WriteFile) -> str:
        """Raises BadCall."""
        data = call.content.encode("utf-8", "replace")
        done = self._script(_WRITE, call.path, stdin=data)
        return f"{done.out.strip() or 'wrote'} {call.path}: {_lines(call.content)}, {len(data)} bytes"

    def edit(self, call: EditFile) -> str:
        """Raises BadCall where `old` is not there exactly once, with what may help to find it."""
        done = self._script(_WHOLE, call.path, str(LARGEST_EDITED + 1), cap=4 * LARGEST_EDITED)
        if len(done.stdout) > LARGEST_EDITED:
            raise BadCall(
                "file too large",
                f"{call.path} is larger than {LARGEST_EDITED} bytes; edit it with a command.",
            )
        if b"\0" in done.stdout:
            raise BadCall("binary file", f"{call.path} is a binary file; change it with a command.")
        if call.old == call.new:
            raise BadCall("no change", "old and new are the same: nothing would change.")
        text = done.stdout.decode("utf-8", "surrogateescape")
        old, new = call.old, call.new
        if "\r\n" in text and old not in text:
            old, new = (part.replace("\r\n", "\n").replace("\n", "\r\n") for part in (old, new))
        count = text.count(old)
        if count != 1:
            raise BadCall(
                "text not found" if not count else "text not unique", _why_not_once(call.path, text, old)
            )
        at = text.index(old)
        changed = text[:at] + new + text[at + len(old) :]
        self._script(_WRITE, call.path, stdin=changed.encode("utf-8", "surrogateescape"))
        first = text.count("\n", 0, at) + 1
        return f"edited {call.path} at line {first}: {_lines(old)} became {_lines(new)}"

    def put(self, path: str, data: bytes, *, append: bool) -> bool:
        """Write for the runner's own ends; False where that failed."""
        return self._run(["sh", "-c", _APPEND if append else _WRITE, "sh", path], data, _SECONDS, 10_000).ok

    def _script(
        self, script: str, path: str, *more: str, stdin: bytes = b"", cap: int = 100_000
    ) -> Completed:
        if "\0" in path:
            raise BadCall("bad path", "A path cannot hold a NUL character.")
        done = self._run(["sh", "-c", script, "sh", path, *more], stdin, _SECONDS, cap)
        if done.ok:
            return done
        kind, message = _REASONS.get(done.exit_code, ("", ""))
        if done.killed_by or not kind:
            reason = done.killed_by or done.err.strip()[-300:] or f"exit code {done.exit_code}"
            raise BadCall("file not usable", f"{path}: {reason}")
        names = decoded(done.stdout).split("\n")[:200] if kind in ("is a folder", "no such file") else []
        listed = (
            f" In {'it' if kind == 'is a folder' else 'its folder'}: {' '.join(names).strip()}"
            if any(names)
            else ""
        )
        raise BadCall(kind, f"{path} {message}.{listed}")


_REASONS = {
    66: (
        "outside the workspace",
        "is outside the workspace; only files below it can be read and written this way",
    ),
    67: ("no such file", "does not exist"),
    68: ("is a folder", "is a folder"),
    69: ("no regular file", "is no regular file"),
    70: ("no permission", "cannot be read: permission denied"),
}


def _number(data: bytes) -> int:
    words = data.split()
    return int(words[0]) if words and words[0].isdigit() else 0


def _lines(text: str) -> str:
    count = text.count("\n") + (not text.endswith("\n") and bool(text))
    return f"{count} line{'' if count == 1 else 's'}"


def _why_not_once(path: str, text: str, old: str) -> str:
    if count := text.count(old):
        places, at = [], -1
        for _ in range(min(count, 10)):
            at = text.index(old, at + 1)
            places.append(str(text.count("\n", 0, at) + 1))
        lines = ", ".join(places)
        return f"old is in {path} {count} times (at lines {lines}): take in more lines around the one meant."
    return f"old is not in {path}.{_nearest(text, old)}"


def _nearest(text: str, old: str) -> str:
    """The place in a file that is most like what was looked for, to copy from."""
    wanted, lines = old.splitlines() or [""], text.splitlines()
    flat = [" ".join(line.split()) for line in lines]
    first = next((" ".join(line.split()) for line in wanted if line.strip()), "")
    if first in flat:
        at, why = flat.index(first), "It has these lines, with other spaces or other lines after them"
    else:
        near = difflib.get_close_matches(first, set(flat[:20_000]), n=1, cutoff=0.6)
        if not near:
            return " Read the file again: nothing in it is like it."
        at, why = flat.index(near[0]), "The nearest that it has is"
    there = "\n".join(lines[at : at + min(len(wanted), 20)])
    return f" {why} (line {at + 1}):\n{there[:2000]}"
