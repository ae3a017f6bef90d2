"""The door through which text leaves for a forge: credentials, and where the runner is, stay behind."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterable, Iterator, Sequence

from sprint.domain import PublicText, Secret
from sprint.policy.content import secret_forms

_MOST_CPU = 30.0  # seconds for one text

# The whole of a private key, whose lines by themselves look like nothing.
_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----\s*(?:[A-Za-z-]+: [^\n]*\n\s*)*"
    r"(?:[A-Za-z0-9+/=]{16,}+\s*)+(?:[A-Za-z0-9+/=]{1,15}\s*(?=-----END))?"
    r"(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----)?"
)

_BREAKS = r"[\s\\>`]"  # what wrapping, quoting and escaping put into a value
_SAME_LETTERS = str.maketrans("\u0130\u0131\u017f\u212a", "iisk")  # where case does not count

_MARKDOWN = re.compile(r"\\(?=[!-/:-@\[-`{-~])|^> ?", re.MULTILINE)  # what it does not show

_log = logging.getLogger(__name__)


def public(text: str, known: Sequence[Secret] = (), private: Iterable[str] = ()) -> PublicText:
    """`text` without credentials, the runner's own (`known`) in any encoding, and without `private` words.

    Whole words count of `private`: host names, addresses. Raises ScanUnfinished where looking takes too long.
    """
    kept = text
    for value in _perhaps_in(text, (form.decode("latin-1") for form in secret_forms(known))):
        kept = _spread(value).sub("[withheld]", kept)
    kept = _without_tokens(kept)
    if kept != text:
        _log.warning("a text that was to be published held what looks like a credential; it is left out")
    for word in sorted(set(private), key=len, reverse=True):
        spelled = r"\\?".join(map(re.escape, word))  # escaped, too
        kept = re.sub(rf"(?<![\w.-]){spelled}(?![\w-]|\.\w)", "[private]", kept, flags=re.IGNORECASE)
    return PublicText(kept)


def _without_tokens(text: str) -> str:
    from sprint.policy.scanner import Scanner

    scanner = Scanner(cpu_seconds=_MOST_CPU)
    # Also as Markdown shows it (`github\_pat\_11...` is the token that it looks like), and with its lines
    # joined: one that is longer than a line was wrapped, and each part is none.
    shown = html.unescape(_MARKDOWN.sub("", text))
    joined = re.sub(r"\s*\n\s*", "", shown)
    keys = {match[0].strip() for seen in (text, shown) for match in _KEY.finditer(seen)}
    found = {
        value
        for seen in (text, shown, joined)
        for _, _, value in scanner.scan("", seen.encode("utf-8", "replace"))
    }
    for value in (*keys, *sorted(found, key=len, reverse=True)):
        text = _spread(value).sub("[withheld]", text)
    return text


def _perhaps_in(text: str, values: Iterable[str]) -> Iterator[str]:
    """Those that `_spread` may find: its pattern takes longer to make than most texts to read."""
    bare = _bare(text)
    return (value for value in values if "&#" in text or not value.isascii() or _bare(value) in bare)


def _bare(text: str) -> str:
    return re.sub(_BREAKS, "", text).translate(_SAME_LETTERS).lower()


def _spread(value: str) -> re.Pattern[str]:
    """Matches a value also where it was wrapped, quoted, escaped or spelled in numbers."""
    signs = (re.escape(sign) if sign.isalnum() else f"(?:{re.escape(sign)}|&#{ord(sign)};)" for sign in value)
    return re.compile(f"{_BREAKS}*".join(signs), re.IGNORECASE)
