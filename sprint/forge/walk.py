"""Reading a list that is paged newest first, and changes meanwhile, from its oldest end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sprint.errors import ForgeError
from sprint.forge.wire import IssueWire

FORWARD_PAGES = 400


@dataclass(frozen=True)
class Page:
    """One page of the list. `total`: how long the list is at most, None where the server does not tell."""

    items: list[IssueWire]
    total: int | None


def oldest_first(fetch: Callable[[int, int], Page], limit: int) -> Iterator[IssueWire]:
    """The list's items, oldest first, each once; `fetch(page, limit)` asks for a page, counted from 1.

    The oldest come with the second request. Page numbers count from the newest item, so whatever is opened
    meanwhile pushes items from the page that is read next onto one that was read before. Therefore each
    window overlaps the one before by an item at least; where it turns out not to, the gap is read first.
    """
    first = fetch(1, limit)
    size = len(first.items)
    if first.total is None:
        yield from reversed(_forward(fetch, limit, first.items))
        return
    if first.total <= size or not size:
        yield from reversed(first.items)
        return
    seen: set[int] = set()
    position = first.total  # everything from this index on was seen, or is past the end
    while position > 0:
        # The size whose pages leave the most items between a page's start and this position.
        step = max(range(1, size + 1), key=lambda candidate: position % candidate)
        page = position // step + 1
        overlapping = position % step > 0
        if not overlapping:
            page, step = position // size, size
        position = (page - 1) * step
        window = _up_to_seen(fetch, page, step, seen) if overlapping else fetch(page, step).items
        for item in reversed(window):
            if item.number not in seen:
                seen.add(item.number)
                yield item


def _up_to_seen(fetch: Callable[[int, int], Page], page: int, step: int, seen: set[int]) -> list[IssueWire]:
    """That page, and those after it up to one with an item that was seen, or to the end."""
    window: list[IssueWire] = []
    while True:
        items = fetch(page, step).items
        window += items
        if len(items) < step or any(item.number in seen for item in items):
            return window
        page += 1


def _forward(fetch: Callable[[int, int], Page], limit: int, first: list[IssueWire]) -> list[IssueWire]:
    """The whole list, newest first, from a server that does not tell how long it is."""
    items = {item.number: item for item in first}
    page = 1
    known = 0
    while len(items) > known:
        known = len(items)
        page += 1
        if page > FORWARD_PAGES:
            raise ForgeError(
                "the forge does not tell how long the list of issues is, and it is too long to be read whole:"
                " does a proxy take the X-Total-Count and Link headers away?"
            )
        for item in fetch(page, limit).items:
            items.setdefault(item.number, item)
    return list(items.values())
