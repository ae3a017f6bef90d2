"""Text that strangers or models wrote, made fit for a prompt, a forge, a commit message or a terminal.

Cleaning makes attacks visible and blunt; it is no boundary. The boundary is that whoever reads the text holds
no secret and can write nowhere that matters.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata

_TITLE = 100  # characters
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
# A link definition that nothing refers to: Markdown's other way to write what no reader sees.
_MARKDOWN_COMMENT = re.compile(r"^ {0,3}\[[^\]\n]*\]:[ \t]*(?:#|<>)[ \t]*[\"'(][^\n]*$", re.MULTILINE)
# Default_Ignorable_Code_Point where the general category alone does not tell, and the blank Braille cell.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
_INVISIBLE_CATEGORIES = frozenset({"Cf", "Cc", "Co", "Cs"})
_HTML_PASSES = 10

# Forges take letters beyond ASCII, and the underscore of an emphasis, for the end of a word.
_MENTION = re.compile(r"(?<![A-Za-z0-9])@(?=[\w-])")
_REFERENCE = re.compile(r"([#!])(?=\d)")
_GH_REFERENCE = re.compile(r"(?<![A-Za-z0-9])(GH-)(?=\d)", re.IGNORECASE)
_SCHEME = re.compile(r"\b[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SKIP_CI = re.compile(
    r"\[[\s\[]*+((?:skip|no)[ -](?:ci|actions)|(?:ci|actions)[ -]skip)[\s\]]*\]|\*{3,}(no_ci)\*{3,}",
    re.IGNORECASE,
)
# What Markdown acts on within a line, at a line's beginning, and what forges link by themselves.
_MARKUP = re.compile(r"[\\`*_\[\]<|~$&]")
_LINE_START = re.compile(r"^(\d{0,9})([-+=.)#>])")
_AUTOLINKED = (
    r"(?<![\w.+-])(?:(?=[0-9a-f]*[0-9])[0-9a-f]{7,64}|www\.[^\s`]+|[\w.+-]{1,64}@[\w-]+\.[\w.-]*\w)(?![\w@])"
)
_IN_HTML = re.compile(r"[^\w\s./-]|_", re.ASCII)
_SPANS = re.compile(rf"`(?P<code>[^`\n]+)`|(?P<linked>{_AUTOLINKED})")
_TRAILER = re.compile(r"^([ \t]*[A-Za-z][A-Za-z-]*-[A-Za-z]+)[ \t]*:", re.MULTILINE)


def clean(text: str, limit: int) -> str:
    """`text` without hidden parts, at most about `limit` characters; a cut is said in the text."""
    text = _MARKDOWN_COMMENT.sub("", _without_html_comments(_visible(text)))
    return cut(re.sub(r"\n{4,}", "\n\n\n", text).strip(), limit)


def _visible(text: str) -> str:
    text = _CONTROL.sub("", _LINE_ENDS.sub("\n", _ANSI.sub("", text)))
    if text.isascii():
        return text
    return "".join(
        character
        for character in _INVISIBLE.sub("", text)
        if character in "\n\t" or unicodedata.category(character) not in _INVISIBLE_CATEGORIES
    )


def _without_html_comments(text: str) -> str:
    """Taking one out can make another from what was around it: repeat, then cut where one begins."""
    for _ in range(_HTML_PASSES):
        kept, at = [], 0
        while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
            kept.append(text[at:start])
            at = end + 3
        if at == 0:
            break
        text = "".join(kept) + text[at:]
    shown, mark, _ = text.partition("<!--")
    return f"{shown}[... an HTML comment without an end left out]" if mark else text


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, and how many more there were."""
    if len(text) <= limit:
        return text
    return f"{text[:limit].rstrip()}\n[... cut here: {len(text) - limit} more characters]"


def fence(text: str, what: str, nonce: str) -> str:
    """`text` between two marks that it cannot write, because it was written before the nonce was drawn."""
    inside = text.replace(nonce, "")
    return f'<untrusted-{nonce} what="{what}">\n{inside}\n</untrusted-{nonce}>'


def safe_line(text: str, limit: int = 200) -> str:
    """For logs, terminals and cells: what is visible, on one line, at most `limit` characters."""
    line = " ".join(_visible(text[: 20 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def inert(text: str) -> str:
    """Text in which a forge finds nobody to notify, nothing to link or close, and no order to its CI."""
    # Taking a scheme out can make another, or an order to a CI, from what was around it.
    text = _SCHEME.sub("", text).replace("://", ": //")
    text = _SKIP_CI.sub(lambda match: match[1] or match[2], text)
    text = _GH_REFERENCE.sub(r"\1 ", _REFERENCE.sub(r"\1 ", text))
    return _MENTION.sub("@ ", text)


def title_line(title: str) -> str:
    """An issue's title for a commit's or a pull request's: one inert line, never empty."""
    most = 4 * _TITLE
    return safe_line(inert(safe_line(clean(title, most), most)), _TITLE) or "untitled"


def inert_block(text: str, limit: int, width: int) -> str:
    """Cleaned and inert, lines wrapped, and none that git would read as a trailer at a message's end."""
    # Again once wrapped: what stood within a word or a line may stand at the beginning of one now.
    return _TRAILER.sub(r"\1 -", inert(wrap(inert(clean(text, limit)), width)))


def wrap(text: str, width: int) -> str:
    """Long lines wrapped, the others as they are."""
    lines = [
        textwrap.wrap(line, width, subsequent_indent=line[: len(line) - len(line.lstrip())]) or [""]
        for line in text.split("\n")
    ]
    return "\n".join(line for wrapped in lines for line in wrapped)


def quote_block(text: str, limit: int) -> str:
    """A Markdown quotation that shows `text` as it was written, inert: only code spans in it are Markdown."""
    lines = _TRAILER.sub(r"\1 -", inert(clean(text, limit))).split("\n")
    return "\n".join(f"> {literal(line)}".rstrip() for line in lines)


def literal(line: str) -> str:
    """Markdown for one inert line as it is: all but its code spans, and what a forge would link, escaped."""
    line, parts, at = line.strip(), [], 0
    for found in _SPANS.finditer(line):
        parts += [_escaped(line[at : found.start()]), f"`{found['code'] or found['linked']}`"]
        at = found.end()
    return _LINE_START.sub(r"\1\\\2", "".join([*parts, _escaped(line[at:])]))


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", text)


def exact_span(text: str, limit: int = 1_000) -> str:
    """A code span of a command that somebody may want to run: all but its line breaks is as it was."""
    line = safe_line(text, limit)
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    room = " " if "`" in line[:1] + line[-1:] else ""
    return f"{ticks}{room}{line}{room}{ticks}" if line else "-"


def code_span(text: str, limit: int = 120) -> str:
    """A Markdown code span on one line; "-" where nothing is left."""
    line = safe_line(text, limit).replace("`", "'")
    return f"`{line}`" if line else "-"


def code_cell(text: str, limit: int = 120) -> str:
    """The same for a table's cell, which ends at a bar even within a span, and where a backslash before a bar
    is read in different ways: there it is HTML, each sign of it by its number."""
    line = safe_line(text, limit)
    if "|" not in line:
        return code_span(line, limit)
    return f"<code>{_IN_HTML.sub(lambda sign: f'&#{ord(sign[0])};', line)}</code>"
