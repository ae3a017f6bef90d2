"""A template and its values as one safe file."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sprint import __version__, files
from sprint.clean_text import safe_line
from sprint.monitor.units import dollars, percent, plural, span, work
from sprint.terminal_text import readable

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
_URL_CAP = 2000
# What turns text around or hides it: shown as its code, so that what is read is what was written.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_HIDING = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def write(path: Path, template: str, **values: Any) -> None:
    """Write the template `templates/NAME.html.j2` to `path`, at once. Raises SprintError."""
    environment = _environment()
    style = (TEMPLATES / "style.css").read_text("utf-8")
    text = environment.get_template(f"{template}.html.j2").render(
        style=_markup(style), style_hash=_hash(style), version=__version__, **values
    )
    files.replace(path, text.encode("utf-8", "replace"), durable=False)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
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


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - our own style sheet


def _hash(style: str) -> str:
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


def web_address(url: str) -> str:
    """`url` where it is one of the web, else "": nothing that runs, and nothing that reads files."""
    if len(url) > _URL_CAP or not url.isascii() or not url.isprintable() or " " in url:
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in ("http", "https") and parts.hostname and "\\" not in url else ""


def shown(text: str) -> str:
    """Text of many lines as it was written, with a sign for each character that misleads or is not seen."""
    return _HIDING.sub(_code, _CONTROL.sub(_code, text.replace("\r\n", "\n")))


def printed(text: str) -> str:
    """What a program printed, as a terminal would have left it, and else as `shown`."""
    return shown(readable(text))


def _code(match: re.Match[str]) -> str:
    number = ord(match[0])
    return chr(0x2400 + number) if number < 0x20 else f"[U+{number:04X}]"


def label(name: str) -> str:
    """An outcome's or a state's name as words: `checks_failed` as `checks failed`."""
    return _SPELLED.get(name) or name.replace("_", " ")


_SPELLED = {
    "pr_opened": "pull request",
    "pr_updated": "pull request updated",
    "old_passed": "passed (before)",
    "old_failed": "failed (before)",
}


def took(seconds: float) -> str:
    """As `span`, with a tenth where it was short."""
    return f"{seconds:.1f} s" if 0 <= seconds < 10 else span(seconds)


def moment(when: datetime) -> str:
    """`3 Nov 2026, 14:05`, UTC."""
    when = when.astimezone(UTC)
    return f"{when.day} {when:%b %Y, %H:%M}"
