"""Walking a newest-first list from its oldest end while it changes."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from sprint.errors import ForgeError
from sprint.forge import walk
from sprint.forge.walk import Page, oldest_first
from sprint.forge.wire import IssueWire

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Backlog:
    """A list on a server that answers at most `cap` items a page; it counts what it was asked."""

    def __init__(self, count: int, cap: int = 50, *, tells: bool = True, estimates: bool = False) -> None:
        self.numbers = list(range(count, 0, -1))
        self.cap = cap
        self.tells = tells
        self.estimates = estimates
        self.requests = 0

    def __call__(self, page: int, limit: int) -> Page:
        self.requests += 1
        size = min(limit, self.cap)
        numbers = self.numbers[(page - 1) * size : page * size]
        total = len(self.numbers)
        if self.estimates:
            total = -(-total // size) * size
        items = [IssueWire(number=number, created_at=AT, updated_at=AT) for number in numbers]
        return Page(items, total if self.tells else None)

    def walk(self) -> list[int]:
        return [item.number for item in oldest_first(self, 50)]


@pytest.mark.parametrize("cap", [1, 2, 3, 7, 30, 50])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 49, 50, 51, 60, 120, 233])
@pytest.mark.parametrize("estimates", [True, False])
def test_everything_once_and_oldest_first(count: int, cap: int, estimates: bool) -> None:
    backlog = Backlog(count, cap, estimates=estimates)
    assert backlog.walk() == list(range(1, count + 1))


@pytest.mark.parametrize("count", [51, 999, 10_000, 10_001, 12_345])
def test_the_oldest_come_with_the_second_request(count: int) -> None:
    backlog = Backlog(count)
    assert next(oldest_first(backlog, 50)).number == 1
    assert backlog.requests == 2
    estimated = Backlog(count, estimates=True)
    assert next(oldest_first(estimated, 50)).number == 1
    assert estimated.requests <= 4


def test_the_whole_costs_little_more_than_its_pages() -> None:
    backlog = Backlog(10_000)
    assert len(backlog.walk()) == 10_000
    assert backlog.requests < 1.3 * 10_000 / 50


def test_one_opened_before_the_oldest_page_is_asked_for_hides_nothing() -> None:
    backlog = Backlog(100)

    def growing(page: int, limit: int) -> Page:
        answer = backlog(page, limit)
        if backlog.requests == 1:
            backlog.numbers[:0] = range(160, 100, -1)
        return answer

    assert [item.number for item in oldest_first(growing, 50)][:100] == list(range(1, 101))


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_skipped_or_doubled_while_the_list_changes(seed: int) -> None:
    chance = random.Random(seed)
    backlog = Backlog(chance.randrange(60, 400), chance.choice([13, 30, 50]))
    always = set(backlog.numbers)
    opened = 1000

    def changing(page: int, limit: int) -> Page:
        nonlocal opened
        answer = backlog(page, limit)
        for _ in range(chance.choice([0, 0, 1, 3, 9])):
            opened += 1
            backlog.numbers.insert(0, opened)
        for _ in range(chance.choice([0, 0, 1, 3, 9])):
            always.discard(backlog.numbers.pop(chance.randrange(len(backlog.numbers))))
        return answer

    seen = [item.number for item in oldest_first(changing, 50)]
    assert len(seen) == len(set(seen))
    assert always <= set(seen)
    kept = [number for number in seen if number in always]
    assert kept == sorted(kept)


def test_a_server_that_does_not_tell_is_read_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    backlog = Backlog(120, tells=False)
    assert backlog.walk() == list(range(1, 121))
    assert backlog.requests == 4
    monkeypatch.setattr(walk, "FORWARD_PAGES", 2)
    with pytest.raises(ForgeError, match="does not tell how long the list of issues is"):
        backlog.walk()


def test_a_server_that_ignores_the_page_ends_too() -> None:
    backlog = Backlog(10, tells=False)
    assert [item.number for item in oldest_first(lambda page, limit: backlog(1, limit), 50)] == list(
        range(1, 11)
    )
    stuck = Backlog(500)
    with pytest.raises(ForgeError, match="changes faster than the forge answers"):
        list(oldest_first(lambda page, limit: stuck(1, limit), 50))
