"""Finds the one passage of a file that a model means, also where it copied its whitespace wrongly."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from sprint.worker.local.tools import BadCall

_MOST_AROUND = 40  # lines
_NUMBERED = re.compile(r"[ ]*\d+\t")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


class Passage(Struct, frozen=True):
    """Where a passage begins and ends in the text, and what takes its place. `is_exact`: found as written."""

    start: int
    end: int
    new: str
    is_exact: bool = True


def find(path: str, text: str, old: str, new: str) -> Passage:
    """The passage `old` of `text`. Raises BadCall where it is not there exactly once, with what may help."""
    if "\r\n" in text and "\r\n" not in old:
        old, new = old.replace("\n", "\r\n"), new.replace("\n", "\r\n")
    if text.count(old) == 0 and _is_numbered(old):
        old, new = _without_numbers(old), _without_numbers(new)
    if (count := text.count(old)) == 1:
        start = text.index(old)
        return Passage(start, start + len(old), new)
    if count:
        raise BadCall("text not unique", _where(path, text, old))
    alike = list(_alike(text, old))
    if len(alike) == 1:
        return _reindented(text, alike[0], old, new)
    if alike:
        places = ", ".join(str(first + 1) for first in alike[:10])
        raise BadCall(
            "text not unique",
            f"old is not in {path} as written, and up to whitespace it is there {len(alike)} times (at lines "
            f"{places}): copy it with its indentation.",
        )
    raise BadCall("text not found", f"old is not in {path}.{_nearest(text, old)}")


def _is_numbered(old: str) -> bool:
    return bool(old.strip()) and all(_NUMBERED.match(line) for line in lines_of(old) if line.strip())


def _without_numbers(text: str) -> str:
    return "".join(_NUMBERED.sub("", line, count=1) for line in lines_of(text))


# --- up to whitespace -------------------------------------------------------------------------


def _alike(text: str, old: str) -> Iterator[int]:
    """First lines of the places that differ from `old` in whitespace only, line by line."""
    wanted = [_bare(line) for line in _core(old)]
    if not any(wanted):
        return
    lines = [_bare(line) for line in lines_of(text)]
    for first in range(len(lines) - len(wanted) + 1):
        if lines[first] == wanted[0] and lines[first : first + len(wanted)] == wanted:
            yield first


def _bare(line: str) -> str:
    return "".join(line.split())


def _core(passage: str) -> list[str]:
    """Its lines, without empty ones at its beginning and end."""
    lines = [line.rstrip("\r\n") for line in lines_of(passage)]
    while lines and not lines[0].strip():
        lines.pop(0)
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _reindented(text: str, first: int, old: str, new: str) -> Passage:
    """The whole lines from `first` on, with `new` indented as they are."""
    lines = lines_of(text)
    core = _core(old)
    found = lines[first : first + len(core)]
    indents = {_indent(was): _indent(there) for was, there in zip(core, found, strict=True) if was.strip()}
    start = sum(map(len, lines[:first]))
    end = start + sum(map(len, found))
    line_end = "\r\n" if found[0].endswith("\r\n") else "\n"
    made = line_end.join(_indented(line, indents) for line in _core(new))
    last = line_end if made and found[-1].endswith("\n") else ""
    return Passage(start, end, made + last, is_exact=False)


def _indented(line: str, indents: dict[str, str]) -> str:
    """A new line with its indentation replaced as that of the old lines was, as far as it is known."""
    indent = _indent(line)
    known = max((was for was in indents if indent.startswith(was)), key=len, default=None)
    return line if known is None else indents[known] + line[len(known) :]


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())] if line.strip() else ""


# --- what may help -------------------------------------------------------------------------------


def _where(path: str, text: str, old: str) -> str:
    places, at = [], -1
    count = text.count(old)
    for _ in range(min(count, 10)):
        at = text.index(old, at + 1)
        places.append(str(text.count("\n", 0, at) + 1))
    lines = ", ".join(places)
    return f"old is in {path} {count} times (at lines {lines}): take in more lines around the one meant."


def _nearest(text: str, old: str) -> str:
    """The place in a file that is most like what was looked for, to copy from."""
    wanted, lines = lines_of(old), [line.rstrip("\r\n") for line in lines_of(text)]
    flat = [" ".join(line.split()) for line in lines]
    first = next((" ".join(line.split()) for line in wanted if line.strip()), "")
    if first in flat:
        at, why = flat.index(first), "It has these lines, with other lines after them"
    else:
        import difflib

        near = difflib.get_close_matches(first, set(flat[:20_000]), n=1, cutoff=0.6)
        if not near:
            return " Read the file again: nothing in it is like it."
        at, why = flat.index(near[0]), "The nearest that it has is"
    there = "\n".join(lines[at : at + min(len(wanted), 20)])
    return f" {why} (line {at + 1}):\n{there[:2000]}"


def around(text: str, first: int, count: int) -> str:
    """`count` lines from `first` (0 is the first) and three around, numbered; many without their middle."""
    lines = [line.rstrip("\r\n") for line in lines_of(text)]
    start, end = max(first - 3, 0), min(first + count + 3, len(lines))
    shown = numbered(lines[start:end], start + 1)
    if len(shown) > _MOST_AROUND:
        half, left = _MOST_AROUND // 2, len(shown) - _MOST_AROUND
        shown = [*shown[:half], f"[... {left} lines ...]", *shown[-half:]]
    return "\n".join(shown)


def lines_of(text: str) -> list[str]:
    """The lines as git, grep and editors count them, each with its end."""
    return _LINE.findall(text)


def numbered(lines: Sequence[str], first: int) -> list[str]:
    """Each line behind its number and a tab."""
    return [f"{number}\t{line}" for number, line in enumerate(lines, first)]
