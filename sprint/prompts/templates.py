"""Renders the templates of prompts/, with the filters that they use."""

from __future__ import annotations

import contextlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sprint import files
from sprint.clean_text import code_cell, code_span, exact_span, inert, literal, safe_line
from sprint.domain import CheckResult, CheckStatus
from sprint.resources import folder

if TYPE_CHECKING:
    from jinja2 import Environment

FAILURES_CAP = 20

_STATUS = {
    CheckStatus.PASSED: "passed",
    CheckStatus.FAILED: "failed",
    CheckStatus.TIMED_OUT: "timed out",
    CheckStatus.NOT_RUN: "not run",
}


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folder("prompts")),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown and plain text, where HTML escapes would be shown
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        span=code_span,
        quiet_span=quiet_span,
        cell=_cell,
        plain=_plain,
        exact_span=exact_span,
        state=_state,
    )
    return environment


def keep_compiled(place: Path) -> None:
    """Keep what templates compile to in a folder of ours, where the next process finds it."""
    from jinja2 import FileSystemBytecodeCache
    from jinja2.bccache import Bucket

    class Kept(FileSystemBytecodeCache):
        def dump_bytecode(self, bucket: Bucket) -> None:
            with contextlib.suppress(OSError):
                super().dump_bytecode(bucket)

    files.make_folder(place)
    _environment().bytecode_cache = Kept(str(place))


def render(name: str, **context: Any) -> str:
    """The template prompts/NAME.j2. Raises jinja2's errors for a value that is missing: a defect of ours."""
    return _environment().get_template(f"{name}.j2").render(**context).strip() + "\n"


def quiet_span(text: str) -> str:
    """A code span in which a forge finds nothing to act on, wherever it may copy it."""
    return code_span(inert(safe_line(text)))


def _cell(text: str) -> str:
    """The same for a table's cell."""
    return code_cell(inert(safe_line(text)))


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return literal(inert(safe_line(text)))


def _state(check: CheckResult) -> str:
    """A check's status in words: `failed (exit 1, 3 of 41 tests)`."""
    facts = []
    if check.status is CheckStatus.FAILED and check.exit_code is not None:
        facts.append(f"exit {check.exit_code}")
    failed = len(check.failures) if check.failed is None else check.failed
    if failed:
        facts.append(f"{failed} of {check.ran} tests" if check.ran else tests_of(failed))
    elif check.ran:
        facts.append(tests_of(check.ran))
    if check.note:
        facts.append(_plain(check.note))
    return f"{_STATUS[check.status]} ({', '.join(facts)})" if facts else _STATUS[check.status]


def tests_of(count: int) -> str:
    return f"{count} test{'s' if count != 1 else ''}"
