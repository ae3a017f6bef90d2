"""A template and its values as one safe file."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sprint import __version__, files
from sprint.clean_text import safe_line
from sprint.monitor import units
from sprint.monitor.units import dollars, plural, span, work
from sprint.terminal_text import readable, shown

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
NOTHING = "\N{EN DASH}"  # where there is no figure
_URL_CAP = 2000


def write(path: Path, template: str, *, mode: int = 0o600, **values: Any) -> None:
    """Write the template `templates/NAME.html.j2` to `path`, at once. Raises SprintError."""
    files.replace(path, render(template, **values), mode=mode, durable=False)


def render(
    template: str, *, stamp: str = "", is_served: bool = False, has_script: bool = False, **values: Any
) -> bytes:
    """The template as a page. `stamp` names what a page shows that is kept as things are: it has a script.

    One that is not served carries its security policy itself. `has_script`: it filters its list of runs.
    """
    style, script = _file("style.css"), _file("runs.js") if has_script else ""
    text = (
        _environment()
        .get_template(f"{template}.html.j2")
        .render(
            style=markup(style),
            style_hash=style_hash(),
            script=markup(script),
            script_hash=script_hash(),
            version=__version__,
            stamp=stamp,
            is_served=is_served,
            **values,
        )
    )
    return text.encode("utf-8", "replace")


@cache
def _file(name: str) -> str:
    return (TEMPLATES / name).read_text("utf-8")


@cache
def _hash(name: str) -> str:
    return base64.b64encode(hashlib.sha256(_file(name).encode()).digest()).decode()


def style_hash() -> str:
    """The pages' only style sheet, as a content security policy names it."""
    return _hash("style.css")


def script_hash() -> str:
    """The script of the list of runs, likewise."""
    return _hash("runs.js")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=_seen,  # every value that a template prints, whether or not its view thought of that
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        line=safe_line,
        label=label,
        work=work,
        moment=moment,
        took=took,
        span=span,
        percent=percent,
        dollars=dollars,
        plural=plural,
    )
    return environment


def _seen(value: Any) -> Any:
    """Text with its hidden characters shown; markup of ours as it is."""
    return shown(value) if type(value) is str else value


def markup(text: str) -> Any:
    """Text that a template puts in as it is: of ours alone."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - our own style sheet and script, and data that is escaped for its place


@lru_cache(10_000)  # a list of runs has each repository's again and again
def web_address(url: str) -> str:
    """`url` where it is one of the web, else "": nothing that runs, and nothing that reads files."""
    if len(url) > _URL_CAP or not url.isascii() or not url.isprintable() or " " in url:
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in ("http", "https") and parts.hostname and "\\" not in url else ""


def printed(text: str) -> str:
    """What a program printed, as a terminal would have left it, and else as `shown`."""
    return shown(readable(text))


def label(name: str) -> str:
    """An outcome's or a state's name as words: `checks_failed` as `checks failed`."""
    return _SPELLED.get(name) or name.replace("_", " ")


_SPELLED = {
    "pr_opened": "pull request",
    "pr_updated": "pull request updated",
    "old_passed": "passed (before)",
    "old_failed": "failed (before)",
}


def percent(share: float | None) -> str:
    return NOTHING if share is None else units.percent(share)


def took(seconds: float) -> str:
    """As `span`, with a tenth where it was short."""
    return f"{seconds:.1f} s" if 0 <= seconds < 10 else span(seconds)


def moment(when: datetime) -> str:
    """`3 Nov 2026, 14:05`, UTC."""
    when = when.astimezone(UTC)
    return f"{when.day} {when:%b %Y, %H:%M}"
