from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sprint import ledger
from sprint.config import Config, load
from sprint.errors import SprintError
from sprint.forge import Forge
from sprint.monitor import pull_refresh, pull_states
from sprint.monitor.figures import Figures, PullCounts
from sprint.monitor.gather import gather
from sprint.monitor.prometheus import exposition
from sprint.monitor.tally import figures
from sprint.monitor.units import follow_ups
from tests.around import around
from tests.monitor.ledgers import a_row
from tests.servers.forge import DemoForge

REPO = "octo/widgets"
OLDER = Path(__file__).parent.parent / "older_files"


@pytest.fixture
def config(tmp_path: Path, forge_server: DemoForge) -> Config:
    (tmp_path / "token").write_text(forge_server.token)
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "sprint.yaml").write_text(
        f"forges: {{home: {{kind: {forge_server.kind}, url: '{forge_server.url}', token_file: token}}}}\n"
        f"repos: [{REPO}]\n"
    )
    forge_server.add_repo(REPO, {"README.md": "hello\n"})
    return load(None, around(tmp_path))


@pytest.fixture
def refreshed(config: Config, tmp_path: Path) -> Callable[..., dict[int, str]]:
    def refresh(hours: float = 0.0) -> dict[int, str]:
        """Refresh as if it were so much later; the states by number."""
        now = datetime.now(UTC) + timedelta(hours=hours)
        connecting = pull_refresh.connecting(config, around(tmp_path))
        stored = pull_refresh.refresh(config.paths.results, config, connecting, now)
        assert stored.problem == ""
        assert stored == pull_states.load(config.paths.results)
        return {pull.number: pull.state for pull in stored.pulls}

    return refresh


def open_pull(server: DemoForge, config: Config, n: int) -> int:
    """A pull request and the row of the run that opened it, an hour ago."""
    branch = f"feat/issue-{n}"
    server.commit(REPO, branch, f"fix: number {n}", {f"file{n}.txt": f"{n}\n"})
    number = server.add_pull(REPO, branch, title=f"fix: number {n}", author=server.login)
    kind = "pull" if server.kind == "github" else "pulls"
    url = f"{server.url}/{REPO}/{kind}/{number}"
    finished = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    ledger.append(
        config.paths.results, a_row(finished_at=finished, run_id=f"run{n}", pr_url=url, issue=n, cost_usd=1.5)
    )
    return number


def summary(config: Config) -> PullCounts:
    results = config.paths.results
    return pull_states.summary(pull_states.load(results), figures(results, datetime.now(UTC)))


def test_what_became_of_each(
    forge_server: DemoForge, config: Config, refreshed: Callable[..., dict[int, str]], tmp_path: Path
) -> None:
    merged, closed, waiting = (open_pull(forge_server, config, n) for n in (1, 2, 3))
    ledger.append(config.paths.results, a_row(1, "limit", run_id="failed", cost_usd=0.5))
    assert refreshed() == dict.fromkeys((merged, closed, waiting), "open")
    (url,) = [p.pr_url for p in pull_states.load(config.paths.results).pulls if p.number == merged]
    again = {"purpose": "follow_up", "round": 1, "trigger": "reviews", "cost_usd": 0.0}
    ledger.append(config.paths.results, a_row(1, "pr_updated", run_id="again", pr_url=url, **again))
    forge_server.add_comment(REPO, merged, "ann", "Good.")
    forge_server.merge(REPO, merged)
    forge_server.close_issue(REPO, closed)
    assert refreshed() == {merged: "merged", closed: "closed", waiting: "open"}
    found = summary(config)
    assert (found.rounds, found.triggers) == ({url: 1}, {"reviews": 1})
    assert (found.merged_after, found.merged_reviewed, found.merged_unseen) == ({1: 1}, 1, 0)
    assert (found.merged, found.closed, found.open, found.reverted) == (1, 1, 1, 0)
    assert found.share_merged == 0.5
    assert found.usd_per_merged == 5.0  # every run counts, the failed one too
    assert found.seconds_to_merge == pytest.approx(3600, abs=120)
    assert list(follow_ups(found)) == [
        ("follow-ups pushed", "1 for 1 pull request; begun: 1 for reviews"),
        ("merged by follow-ups that they took", "1 after 1"),
        ("merged unseen", "0, after a person's word 1"),
    ]
    metrics = exposition(gather(config, around(tmp_path), datetime.now(UTC), ask=False)).decode().split("\n")
    for line in (
        "sprint_follow_ups_total 1.0",
        'sprint_follow_ups_begun_total{trigger="reviews"} 1.0',
        'sprint_followed_pull_requests{follow_ups="1"} 1.0',
        'sprint_merged_pull_requests{follow_ups="1"} 1.0',
        "sprint_merged_reviewed_pull_requests 1.0",
        "sprint_merged_unseen_pull_requests 0.0",
        "sprint_merged_pull_request_cost_dollars 5.0",
    ):
        assert line in metrics
    forge_server.reopen_issue(REPO, closed)
    assert refreshed()[closed] == "open"
    assert summary(config).share_merged == 1.0


def test_a_pull_request_that_is_gone(
    forge_server: DemoForge, config: Config, refreshed: Callable[..., dict[int, str]]
) -> None:
    number = open_pull(forge_server, config, 1)
    del forge_server.repo(REPO).issues[number]
    assert refreshed() == {number: "gone"}
    assert summary(config).share_merged is None


@pytest.mark.parametrize(
    "message",
    [
        'Revert "fix: number 1"\n\nThis reverts commit {merge}.\n',
        'Revert "fix: number 1"\n\nThis reverts commit {head}.\n',
        'Revert "fix: number 1" (#77)\n\nReverts octo/widgets#{number}\n',
        "Back out\n\nReverts #{number}\n",
    ],
)
def test_merged_work_that_was_undone(
    forge_server: DemoForge, config: Config, refreshed: Callable[..., dict[int, str]], message: str
) -> None:
    first, second = open_pull(forge_server, config, 1), open_pull(forge_server, config, 2)
    head = forge_server.refs(REPO)["refs/heads/feat/issue-1"]
    merge = forge_server.merge(REPO, first)
    forge_server.merge(REPO, second)
    assert refreshed() == {first: "merged", second: "merged"}
    text = message.format(merge=merge, head=head, number=first)
    revert = forge_server.commit(REPO, "main", text, {"file1.txt": None})
    assert refreshed() == {first: "reverted", second: "merged"}
    assert refreshed() == {first: "reverted", second: "merged"}
    found = summary(config)
    assert (found.merged, found.reverted, found.share_merged, found.usd_per_merged) == (1, 1, 0.5, 3.0)
    again = f'Reapply "fix: number 1"\n\nThis reverts commit {revert}.\n'
    forge_server.commit(REPO, "main", again, {"file1.txt": "1\n"})
    assert refreshed() == {first: "merged", second: "merged"}


def test_a_mention_is_no_revert(
    forge_server: DemoForge, config: Config, refreshed: Callable[..., dict[int, str]]
) -> None:
    number = open_pull(forge_server, config, 1)
    merge = forge_server.merge(REPO, number)
    forge_server.commit(
        REPO, "main", f"Follow up on {merge} and #{number}, someone Reverts #{number} later", {"a": "b"}
    )
    forge_server.commit(REPO, "main", f"x\n\nReverts other/repo#{number}\n", {"a": "c"})
    forge_server.commit(REPO, "main", f"x\n\nReverts #{number}0\n", {"a": "d"})
    assert refreshed() == {number: "merged"}


def test_a_forge_that_is_down_keeps_what_was_known(
    forge_server: DemoForge, config: Config, refreshed: Callable[..., dict[int, str]]
) -> None:
    number = open_pull(forge_server, config, 1)
    refreshed()

    def no_forge(name: str) -> Forge:
        raise SprintError(f"{name} is away")

    later = datetime.now(UTC) + timedelta(hours=2)
    stored = pull_refresh.refresh(config.paths.results, config, no_forge, later)
    assert stored.problem == "home: home is away"
    assert [pull.state for pull in stored.pulls] == ["open"]
    assert stored.asked_at is not None
    assert stored.asked_at < later
    assert not pull_refresh.refresh_due(config.paths.results, later + timedelta(minutes=5))
    forge_server.merge(REPO, number)
    assert refreshed(3) == {number: "merged"}


def test_time_is_short(
    forge_server: DemoForge, config: Config, tmp_path: Path, refreshed: Callable[..., dict[int, str]]
) -> None:
    numbers = [open_pull(forge_server, config, n) for n in range(3)]
    connecting = pull_refresh.connecting(config, around(tmp_path))
    stored = pull_refresh.refresh(config.paths.results, config, connecting, datetime.now(UTC), seconds=-1.0)
    assert "in time" in stored.problem
    assert {pull.number for pull in stored.pulls} == set(numbers)
    assert not any(pull.asked_at for pull in stored.pulls)
    refreshed()


def test_it_is_due_hourly(config: Config, tmp_path: Path, refreshed: Callable[..., dict[int, str]]) -> None:
    results, now = config.paths.results, datetime.now(UTC)
    assert pull_refresh.refresh_due(results, now)
    pull_refresh.refresh_if_due(config, around(tmp_path))
    assert not pull_refresh.refresh_due(results, now + timedelta(minutes=58))
    assert pull_refresh.refresh_due(results, now + timedelta(minutes=61))
    assert pull_refresh.refresh_due(results, now - timedelta(minutes=5))  # the clock was set back
    (results / "pull_states.json").write_text('{"pulls": 3}')
    assert pull_refresh.refresh_due(results, now)
    assert refreshed() == {}


def test_only_one_process_asks(
    forge_server: DemoForge, config: Config, refreshed: Callable[..., dict[int, str]]
) -> None:
    open_pull(forge_server, config, 1)
    with (config.paths.results / "pull_states.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert refreshed() == {}
        assert forge_server.requests == []
    assert len(refreshed()) == 1


def test_the_ledger_is_read_where_it_was_left(
    forge_server: DemoForge, config: Config, refreshed: Callable[..., dict[int, str]]
) -> None:
    first = open_pull(forge_server, config, 1)
    refreshed()
    stored = pull_states.load(config.paths.results)
    assert stored.ledger_read == ledger.path_of(config.paths.results).stat().st_size
    second = open_pull(forge_server, config, 2)
    assert refreshed() == {first: "open", second: "open"}
    ledger.path_of(config.paths.results).unlink()  # begun anew: what is known stays known
    third = open_pull(forge_server, config, 3)
    assert refreshed() == {first: "open", second: "open", third: "open"}


def test_nothing_is_known_yet() -> None:
    found = pull_states.summary(pull_states.Stored(), Figures(made_at=datetime.now(UTC)))
    assert found == PullCounts()
    assert found.share_merged is None


def test_the_file_of_the_version_before_is_read_and_left_alone(
    forge_server: DemoForge, config: Config, refreshed: Callable[..., dict[int, str]]
) -> None:
    results = config.paths.results
    results.mkdir()
    old = results / "fates.json"
    shutil.copy(OLDER / "fates.json", old)
    before = old.read_bytes()
    (known,) = pull_states.load(results).pulls
    assert (known.number, known.state, known.forge) == (13, "merged", "home")
    shutil.copy(OLDER / "results-all-outcomes.csv", ledger.path_of(results))
    assert not pull_refresh.refresh_due(results, datetime(2026, 11, 21, 12, 30, tzinfo=UTC))
    number = open_pull(forge_server, config, 1)
    assert refreshed() == {13: "merged", number: "open"}
    assert old.read_bytes() == before
    assert refreshed() == {13: "merged", number: "open"}


@pytest.mark.parametrize("text", ["", "[]", '{"fates": 3}', '{"fates": [{"pr_url": 1}]}'])
def test_a_broken_file_of_the_version_before_is_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "fates.json").write_text(text)
    assert pull_states.load(tmp_path) == pull_states.Stored()
