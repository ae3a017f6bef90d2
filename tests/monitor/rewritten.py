"""What other programs make of a ledger: the same rows in other words, or beside what is none."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping

_TIME = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)Z", re.MULTILINE)


def _fields(change: Callable[[list[str]], list[str]], **how: int) -> Callable[[str], str]:
    """Every line taken apart and put together again."""

    def rewrite(text: str) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n", quoting=how.get("quoting", csv.QUOTE_MINIMAL))
        writer.writerows(change(fields) for fields in csv.reader(io.StringIO(text)))
        return out.getvalue()

    return rewrite


def _lines(change: Callable[[int, str], str]) -> Callable[[str], str]:
    def rewrite(text: str) -> str:
        first, *others = text.rstrip("\n").split("\n")
        return "\n".join([first, *(change(n, line) for n, line in enumerate(others))]) + "\n"

    return rewrite


def _older(text: str) -> str:
    """With the columns of 0.1.0 only."""
    return _fields(lambda fields: fields[:18])(text)


# Each takes a ledger's text; all of its rows are still there, in their order.
REWRITTEN: Mapping[str, Callable[[str], str]] = {
    "times with a space": lambda text: _TIME.sub(r"\1 \2", text),
    "times with an offset": lambda text: _TIME.sub(r"\1T\2+00:00", text),
    "times of a database": lambda text: _TIME.sub(r"\1 \2.000000+00", text),
    "Windows line ends": lambda text: text.replace("\n", "\r\n"),
    "everything in quotes": _fields(lambda fields: fields, quoting=csv.QUOTE_ALL),
    "columns in another order": _fields(lambda fields: fields[::-1]),
    "a column of its own": _fields(lambda fields: ["mood" if "run_id" in fields else "glum", *fields]),
    "the columns of 0.1.0": _older,
    "both widths in turn": lambda text: _lines(lambda n, line: line if n % 2 else _older(line).rstrip("\n"))(
        _older(text.split("\n")[0]) + text[text.index("\n") + 1 :]
    ),
    "spaces around": _lines(lambda n, line: f"  {line} "),
    "a header now and then": lambda text: _lines(
        lambda n, line: line if n % 300 else text.split("\n")[0] + "\n" + line
    )(text),
    "lines that are none": _lines(lambda n, line: line if n % 200 else f'2026,"half a\n{line}'),
}
