"""The day's ceiling on one host, where agents elsewhere spend until a tick looks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sprint import sharing, spend
from sprint.config import Limits, load
from sprint.domain import Phase, Run, Usage, replace
from sprint.runs import RunStore
from sprint.sharing import Sharing
from tests.around import around
from tests.some_run import some_run

NOW = datetime.now(UTC)
PRICED = "{name: m, base_url: 'http://127.0.0.1:1/v1', price: {input: 1, output: 1}}"
UNPRICED = "{name: m, base_url: 'http://127.0.0.1:1/v1'}"
LIMITS = Limits(usd=2.0, usd_per_day=3.0)


class Host:
    def __init__(self, folder: Path, model: str) -> None:
        (folder / "sprint.yaml").write_text(
            f"repos: [acme/one]\nmodel: {model}\n"
            "forges: {home: {kind: gitea, url: 'http://127.0.0.1:1'}}\n"
            "backends: {cloud: {kind: sprites}}\n"
            "workers: {far: {kind: sprite, backend: cloud, sprites: [fern], key: file, key_file: key},"
            " near: {kind: sprite, backend: cloud, sprites: [fern]}}\npaths: {results: results}\n"
        )
        here = around(folder)
        config = load(folder / "sprint.yaml", here)
        self.results = config.paths.results
        self.sharing: Sharing = sharing.of(config, here)
        self.store = RunStore(self.results)

    def begun(self, number: int, worker: str = "far", limits: Limits = LIMITS) -> tuple[Run, str]:
        """A run that is written down and asks for its dollars."""
        run_id = f"20261127T1200{number:02}Z-acme-one-{number}-00000000"
        run = some_run(id=run_id, repo="acme/one", issue=number, started_at=NOW, worker=worker)
        self.store.create(run)
        return run, self.sharing.reserve(run, limits)

    def kept(self, *runs: Run) -> list[float | None]:
        return [spend.kept(self.store.folder(run.id)) for run in runs]


@pytest.fixture
def make_host(tmp_path: Path) -> Callable[..., Host]:
    return lambda model=PRICED: Host(tmp_path, model)


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    return make_host()


def test_agents_with_keys_of_their_own_keep_what_they_may_spend(host: Host) -> None:
    (first, none), (second, some) = host.begun(1), host.begun(2)
    assert (none, some) == ("", "")
    assert host.kept(first, second) == [2.0, 1.0]
    full = "today's ceiling is reached: $0.00 of $3.00, and $3.00 kept by runs under way"
    assert host.begun(3)[1] == full
    assert host.sharing.why_not_now(3.0) == full
    assert host.sharing.why_not_now(3.5) == ""


def test_what_was_seen_of_their_spending_is_not_counted_twice(host: Host) -> None:
    run, _ = host.begun(1)
    spend.record(host.results, run.id, 0.5)
    host.store.save(replace(run, spent=Usage(cost_usd=0.5)))
    assert host.sharing.why_not_now(2.0).startswith(
        "today's ceiling is reached: $0.50 of $2.00, and $1.50 kept"
    )
    assert host.sharing.why_not_now(2.01) == ""
    host.store.save(replace(run, phase=Phase.SETTLED))
    assert host.sharing.why_not_now(2.0) == ""


def test_one_that_has_spent_what_it_kept_keeps_what_is_left(host: Host) -> None:
    run, _ = host.begun(1, limits=Limits(usd=2.0, usd_per_day=0.5))
    assert host.kept(run) == [0.5]
    assert host.sharing.more(run.id, 0.4, 0.5) == "", "it has not yet"
    spend.record(host.results, run.id, 0.5)
    said = "limits.usd_per_day: today's ceiling is reached: $0.50 of $0.50"
    assert host.sharing.more(run.id, 0.5, 0.5) == said
    assert host.sharing.more(run.id, 0.5, 1.25) == ""
    assert host.kept(run) == [1.25]


def test_who_asks_here_leaves_what_they_keep(host: Host) -> None:
    loop, _ = host.begun(1, worker="local")
    assert host.kept(loop) == [None]
    spend.record(host.results, loop.id, 1.0)
    assert host.sharing.more(loop.id, 1.0, 3.0) == ""
    host.begun(2)
    said = "limits.usd_per_day: today's ceiling is reached: $1.00 of $3.00, and $2.00 kept by runs under way"
    assert host.sharing.more(loop.id, 1.0, 3.0) == said


@pytest.mark.parametrize("worker", ["local", "near"])
def test_what_is_seen_as_it_is_spent_keeps_nothing(host: Host, worker: str) -> None:
    assert [host.begun(number, worker)[1] for number in range(3)] == [""] * 3
    assert host.sharing.why_not_now(0.01) == ""


def test_nor_does_what_has_no_price(make_host: Callable[..., Host]) -> None:
    host = make_host(UNPRICED)
    run, refused = host.begun(1)
    assert (refused, host.kept(run)) == ("", [None])


def test_without_a_limit_of_its_own_a_run_keeps_all_that_is_left(host: Host) -> None:
    spend.record(host.results, "another", 1.0)
    run, _ = host.begun(1, limits=Limits(usd=None, usd_per_day=3.0))
    assert host.kept(run) == [2.0]


def test_all_at_once_keep_no_more_than_there_is(host: Host) -> None:
    barrier = threading.Barrier(8)

    def begin(number: int) -> None:
        barrier.wait(20)
        host.begun(number)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [spend.kept(host.store.folder(run_id)) or 0.0 for run_id in host.store.active_ids()]
    assert sum(kept) == pytest.approx(3.0)
