"""Reading a list that is paged newest first, and changes meanwhile, from its oldest end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from sprint.errors import ForgeError
from sprint.forge.wire import IssueWire

FORWARD_PAGES = 400
MISSES = 20  # windows in a row


class Page(Struct, frozen=True):
    """One page of the list. `total`: how long the list is at most, None where the server does not tell."""

    items: list[IssueWire]
    total: int | None


def oldest_first(fetch: Callable[[int, int], Page], limit: int) -> Iterator[IssueWire]:
    """The list's items, oldest first, each once; `fetch(page, limit)` asks for a page, counted from 1.

    The oldest come with the second request. Page numbers count from the newest item, so whatever is opened
    meanwhile pushes items from the page that is read next onto one that was read before. Therefore each
    window must overlap what was seen by an item at least, in one and the same answer, or hold the list's end.
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
    misses = 0
    position = first.total  # the item at this index was seen, or is past the end
    while position > 0:
        # The size whose pages leave the most items between a page's start and this position.
        step = max(range(1, size + 1), key=lambda candidate: position % candidate)
        page = position // step + 1
        can_overlap = position % step > 0  # not where a server's pages are tiny
        if not can_overlap:
            step, page = size, position // size
        items = fetch(page, step).items
        if can_overlap and len(items) == step and not any(item.number in seen for item in items):
            # The list grew: what was seen is further back by now.
            misses += 1
            position = page * step + misses * size // 2
            if misses > MISSES:
                raise ForgeError("the list of issues changes faster than the forge answers; try again later")
            continue
        misses = 0
        position = (page - 1) * step
        for item in reversed(items):
            if item.number not in seen:
                seen.add(item.number)
                yield item


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
