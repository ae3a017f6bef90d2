"""How much of a run fits on its page: texts are cut in their middle, and the page says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sprint.terminal_text import shown

_LITTLE = 400  # characters that every text gets, even on a full page


@dataclass(frozen=True)
class Cut:
    """A text's beginning and its end; `left_out` characters of it are between them."""

    head: str
    tail: str = ""
    left_out: int = 0
    lines: int = 0

    def __bool__(self) -> bool:
        return bool(self.head)


class PageBudget:
    """What is left of a page's characters, which texts take in their order."""

    def __init__(self, characters: int) -> None:
        self._left = characters

    @property
    def is_full(self) -> bool:
        return self._left <= 0

    def fit(self, text: object, cap: int, clean: Callable[[str], str] = shown) -> Cut:
        """As much of a text as there is budget for, at most `cap` characters, cleaned."""
        whole = str(text or "")
        cap = min(cap, max(self._left, _LITTLE))
        lines = whole.strip("\n").count("\n") + 1 if whole else 0
        self._left -= min(len(whole), cap)
        if len(whole) <= cap:
            return Cut(clean(whole).strip("\n"), lines=lines)
        head, tail = whole[: cap * 3 // 4], whole[-(cap // 4) :]
        return Cut(
            clean(head).lstrip("\n"), clean(tail).rstrip("\n"), len(whole) - len(head) - len(tail), lines
        )
