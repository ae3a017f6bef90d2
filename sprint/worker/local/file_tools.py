"""read_file, search, write_file and edit_file: small shell scripts inside the sandbox, so that no link and no
race leads the runner to a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sprint.domain import Completed
from sprint.terminal_text import decoded, readable
from sprint.worker.local import passages, syntax
from sprint.worker.local.tools import BadCall, EditFile, ReadFile, Search, WriteFile

LARGEST_EDITED = 2_000_000
LARGEST_CHECKED = 500_000
_LONGEST_LINE = 2_000
_LONGEST_MATCH = 240
_MOST_MATCHES = 100
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
before=
if [ -e "$p" ]; then
    [ -f "$p" ] || exit 69
    [ -z "$2" ] || {{ before=$(mktemp) && cat -- "$p" >"$before"; trap 'rm -f -- "$before"' EXIT; }}
    echo replaced
else
    echo created
fi
mkdir -p -- "$(dirname -- "$p")" && cat >"$p" || exit 71
"""
# $2 the pattern, $3 which files or "", $4 how many lines, $5 "-F" for a pattern that is no expression.
_SEARCH = f"""{_LOCATE}
[ -e "$p" ] || exit 67
here=$(pwd -P)
case $p in "$here") p=. ;; "$here"/*) p=./${{p#"$here"/}} ;; esac
if command -v rg >/dev/null; then
    rg -nH --no-heading --color=never --hidden -g '!.git' ${{3:+-g "$3"}} $5 -e "$2" -- "$p"
else
    kind=${{5:--E}}
    [ "$5" ] || {{ echo x | grep -qP x && kind=-P; }} 2>/dev/null
    grep -rnHI $kind ${{3:+--include="$3"}} --exclude-dir=.git --exclude-dir=node_modules \\
        --exclude-dir=.venv --exclude-dir=__pycache__ -e "$2" -- "$p"
fi | head -n 5000 | cut -b -1000 | sort -s -t: -k1,1 -k2,2n | head -n "$4"
"""
_APPEND = f'{_LOCATE}mkdir -p -- "$(dirname -- "$p")" && cat >>"$p"'

RunScript = Callable[[Sequence[str], bytes, float, int], Completed]
"""Runs argv in the sandbox with a stdin, a timeout in seconds and an output cap in bytes."""


class FileTools:
    """`shell` is the one that commands run in: then the sandbox that waits for the next of them fits."""

    def __init__(self, run: RunScript, shell: str) -> None:
        self._run = run
        self._shell = shell

    def read(self, call: ReadFile, budget: int) -> str:
        """At most about `budget` characters of a file, whole lines behind their numbers. Raises BadCall."""
        done = self._script(
            _READ, call.path, str(call.offset), str(call.limit), str(budget * 4), cap=budget * 8
        )
        if b"\0" in done.stdout:
            raise BadCall(
                "binary file", f"{call.path} is a binary file; look at it with a command, like file or xxd."
            )
        total = _number(done.stderr)
        lines = decoded(done.stdout).split("\n")
        if lines[-1] == "":
            lines.pop()
        shown: list[str] = []
        used = 0
        for line in passages.numbered(lines, call.offset):
            kept = line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}[... the line goes on]"
            used += len(kept) + 1
            if shown and used > budget:
                break
            shown.append(kept)
        if not shown:
            return f"[{call.path} is empty]" if not total else f"[{call.path} has {total} lines]"
        return "\n".join(shown) + _what_else(call.offset, call.offset + len(shown) - 1, total)

    def search(self, call: Search, budget: int) -> str:
        """`path:line:text` of what matches, bounded. Raises BadCall."""
        done = self._search(call, "")
        note = ""
        if not done.stdout and (said := done.err.strip()):
            done = self._search(call, "-F")
            note = f"[taken as plain text: {said.splitlines()[-1][:120]}]"
        found = [_cut(line.removeprefix("./")) for line in decoded(done.stdout).splitlines()]
        shown: list[str] = []
        for line in found[:_MOST_MATCHES]:
            budget -= len(line) + 1
            if shown and budget < 0:
                break
            shown.append(line)
        if len(shown) < len(found):
            note = f"{note}\n[there is more: name a path, files or a longer pattern]".lstrip()
        return "\n".join([*shown, note]).strip() or "[nothing is like it]"

    def _search(self, call: Search, kind: str) -> Completed:
        if "\0" in call.pattern + call.files:
            raise BadCall("bad pattern", "A pattern cannot hold a NUL character.")
        wanted = str(_MOST_MATCHES + 1)
        return self._script(_SEARCH, call.path, call.pattern, call.files, wanted, kind, cap=400_000)

    def write(self, call: WriteFile) -> str:
        """Raises BadCall."""
        data = call.content.encode("utf-8", "replace")
        what, complaint = self._written(call.path, data)
        about = f"{what} {call.path}: {_lines(call.content)}, {len(data)} bytes"
        return f"{about}\n{complaint}" if complaint else about

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
        found = passages.find(call.path, text, call.old, call.new)
        changed = text[: found.start] + found.new + text[found.end :]
        _, complaint = self._written(call.path, changed.encode("utf-8", "surrogateescape"))
        first = text.count("\n", 0, found.start)
        how = "" if found.is_exact else " (found up to whitespace)"
        place = passages.around(readable(changed), first, len(passages.lines_of(found.new)))
        shown = f"edited {call.path} at line {first + 1}{how}; it reads now:\n{place}"
        return f"{shown}\n{complaint}" if complaint else shown

    def _written(self, path: str, data: bytes) -> tuple[str, str]:
        """Write a file: whether it was "created" or "replaced", and what its checker says of it."""
        check = syntax.script(path) if len(data) <= LARGEST_CHECKED else ""
        done = self._script(_WRITE + check, path, "check" if check else "", stdin=data)
        what, _, said = readable(done.out).partition("\n")
        return what or "wrote", syntax.complaint(path, said)

    def put(self, path: str, data: bytes, *, append: bool) -> bool:
        """Write for the runner's own ends; False where that failed."""
        script = _APPEND if append else _WRITE
        return self._run(self._argv(script, path, ""), data, _SECONDS, 10_000).ok

    def _argv(self, script: str, *arguments: str) -> list[str]:
        return [self._shell, "-c", script, self._shell, *arguments]

    def _script(
        self, script: str, path: str, *more: str, stdin: bytes = b"", cap: int = 100_000
    ) -> Completed:
        if "\0" in path:
            raise BadCall("bad path", "A path cannot hold a NUL character.")
        done = self._run(self._argv(script, path, *more), stdin, _SECONDS, cap)
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
    71: ("not writable", "cannot be written"),
}


def _number(data: bytes) -> int:
    words = data.split()
    return int(words[0]) if words and words[0].isdigit() else 0


def _what_else(first: int, last: int, total: int) -> str:
    """Which lines were shown, and where to go on, unless it was the whole file."""
    if first == 1 and last >= total:
        return ""
    rest = f"; go on with offset {last + 1}" if last < total else ""
    return f"\n[lines {first} to {last} of {max(total, last)}{rest}]"


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST_MATCH else f"{line[:_LONGEST_MATCH]}[...]"


def _lines(text: str) -> str:
    count = text.count("\n") + (not text.endswith("\n") and bool(text))
    return f"{count} line{'' if count == 1 else 's'}"
