"""detect-secrets' rules over lines of text, without its guesses from entropy alone."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.filters import heuristic
from detect_secrets.plugins.base import RegexBasedDetector

from sprint.policy.scan_unfinished import ScanUnfinished

# Entropy alone takes checksums for secrets; public addresses are none; private keys are looked for below.
_LEFT_OUT = {"Base64HighEntropyString", "HexHighEntropyString", "IPPublicDetector", "PrivateKeyDetector"}
# These see words around a value rather than the value's own shape: what they find must also look random, and
# in tests and documents it is made up on purpose.
_BY_CONTEXT = {"KeywordDetector", "BasicAuthDetector", "JwtTokenDetector"}
_MADE_UP = re.compile(
    r"(^|/)(tests?|testing|spec|specs|__tests__|testdata|fixtures|examples?|samples|docs?)/"
    r"|(^|/)(test_[^/]*|[^/]*[_.-](test|spec)\.[a-z]+|conftest\.py)$|\.(md|rst|adoc)$",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"example|sample|change.?me|dummy|placeholder|your|fake|redacted|xxxx|\*\*\*|\.\.\.|insert|replace|%s|\{",
    re.IGNORECASE,
)
_WINDOW = 4000  # characters of a line that are matched at once: some rules take quadratic time
_OVERLAP = 300
_LONGEST_FOR_KEYWORDS = 400
_SHORTEST = 8  # characters of a line that can hold anything
_SHORTEST_TOKEN = 12
# A header alone is what code that reads keys has; this one has a key below it.
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----.{0,300}?[A-Za-z0-9+/]{40,}", re.DOTALL
)


class _MoreTokens(RegexBasedDetector):
    """Tokens that the rules do not know yet."""

    secret_type = "Access Token"  # noqa: S105
    denylist = (
        re.compile(r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
        re.compile(r"sk-(?:ant|or|proj)-[A-Za-z0-9_-]{24,}"),
        re.compile(r"AIza[0-9A-Za-z_-]{35}"),
        re.compile(r"hf_[A-Za-z]{34}"),
        re.compile(r"PuTTY-User-Key-File-\d: \S+"),
    )


class Scanner:
    """Finds credentials in files, until this thread has used `cpu_seconds` on it: then ScanUnfinished.

    The processor's time, not the clock's: a busy machine makes nothing suspect.
    """

    def __init__(self, *, cpu_seconds: float) -> None:
        self._seconds = cpu_seconds
        self._ends = time.thread_time() + cpu_seconds

    def scan(self, path: str, data: bytes, *, without: bytes = b"") -> Iterator[tuple[int, str, str]]:
        """Line number, kind and value of each credential in `data`, on lines that `without` has not."""
        text, other = _text(data), _text(without)
        known = set(other.splitlines())
        keys = {match[0] for match in _PEM.finditer(other)}
        for match in _PEM.finditer(text):
            if match[0] not in keys:
                yield text.count("\n", 0, match.start()) + 1, "Private Key", match[0]
        is_binary = b"\0" in data[:8000] and not _is_wide(data)
        for number, line in enumerate(text.splitlines(), start=1):
            if len(line) >= _SHORTEST and line not in known:
                known.add(line)
                for kind, value in self._in_line(path, line, is_binary):
                    yield number, kind, value

    def _in_line(self, path: str, line: str, is_binary: bool) -> Iterator[tuple[str, str]]:
        for at in range(0, len(line), _WINDOW - _OVERLAP):
            if time.thread_time() > self._ends:
                raise ScanUnfinished(
                    f"looking for credentials took more than {self._seconds:g} s of the processor's time;"
                    " a later tick looks again"
                )
            window = line[at : at + _WINDOW]
            for rule in _rules():
                name = type(rule).__name__
                if name not in _BY_CONTEXT:
                    values = [value for value in _matches(rule, window) if "EXAMPLE" not in value.upper()]
                elif is_binary or (len(line) > _LONGEST_FOR_KEYWORDS and name == "KeywordDetector"):
                    continue
                else:
                    values = [v for v in rule.analyze_string(window) if not _is_made_up(path, window, v)]
                for value in values:
                    yield rule.secret_type, value


@cache
def _rules() -> tuple[Any, ...]:
    found: dict[str, Any] = get_mapping_from_secret_type_to_class()
    return (*(rule() for rule in found.values() if rule.__name__ not in _LEFT_OUT), _MoreTokens())


def _matches(rule: Any, text: str) -> list[str]:
    """What a rule finds, as a whole: some give only the part that is the same in all tokens of a kind."""
    found = list(rule.analyze_string(text))
    if found and min(map(len, found)) < _SHORTEST_TOKEN and isinstance(rule, RegexBasedDetector):
        return [match[0] for pattern in rule.denylist for match in pattern.finditer(text)]
    return found


def _is_made_up(path: str, line: str, value: str) -> bool:
    return bool(
        _MADE_UP.search(path)
        or _PLACEHOLDER.search(value)
        or heuristic.is_lock_file(path)
        or heuristic.is_sequential_string(value)
        or heuristic.is_potential_uuid(value)
        or heuristic.is_templated_secret(value)
        or heuristic.is_prefixed_with_dollar_sign(value)
        or heuristic.is_indirect_reference(line)
        or not _looks_random(value)
    )


def _looks_random(value: str) -> bool:
    """Long enough, of more than one kind of character, and not a word or a sentence."""
    if len(value) < 10 or " " in value:
        return False
    kinds = sum(bool(re.search(kind, value)) for kind in ("[a-z]", "[A-Z]", "[0-9]", "[^a-zA-Z0-9]"))
    counts = Counter(value).values()
    entropy = -sum(n / len(value) * math.log2(n / len(value)) for n in counts)
    return bool(re.search("[0-9]", value)) and kinds >= 2 and entropy >= 2.8


def _text(data: bytes) -> str:
    """Text in whatever encoding: without its zero bytes, UTF-16 and UTF-32 read like Latin-1."""
    return data.replace(b"\0", b"").decode("utf-8", "replace")


def _is_wide(data: bytes) -> bool:
    """Whether zero bytes come from an encoding of two or four bytes for each letter."""
    head = data[:8000]
    return head.startswith((b"\xff\xfe", b"\xfe\xff")) or head.count(0) * 5 > len(head) * 2
