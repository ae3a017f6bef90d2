"""What people said at issues that were tried before: found at once, and asked for only where it moved."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sprint.config import ForgeConfig
from sprint.domain import Claim, Secret, replace
from sprint.forge import Forge, connect
from sprint.pick.discussions import Discussions
from sprint.pick.news import issue_digest
from sprint.prompts import comment_marker
from tests.servers.forge import DemoForge, Fault
from tests.servers.store import StoredIssue

REPO = "octo/widgets"
HOUR = timedelta(hours=1)


@pytest.fixture
def server(forge_server: DemoForge) -> DemoForge:
    forge_server.add_repo(REPO, {"README.md": "hello"})
    forge_server.add_user("ann")
    forge_server.grant(REPO, "ann")
    return forge_server


@pytest.fixture
def forge(server: DemoForge) -> Forge:
    return connect(ForgeConfig(kind=server.kind, url=server.url), Secret(server.token), patience=5)


@pytest.fixture
def tick(forge: Forge, tmp_path: Path) -> Callable[[], Discussions]:
    """What a tick of the same host has: a new object, the same file."""

    def make() -> Discussions:
        forge.repository(REPO)  # a tick has heard the server's clock by then
        return Discussions(forge, REPO, tmp_path / "discussions" / "x.json")

    return make


def settle_in_the_past(issue: StoredIssue, hours: int) -> None:
    """Everything at the issue was said so long ago."""
    at = datetime.now(UTC).replace(microsecond=0) - hours * HOUR
    issue.updated_at = issue.created_at = at
    for comment in issue.comments:
        comment.created_at = comment.updated_at = at


def parked(server: DemoForge, forge: Forge, *, said: str = "Please.", hours: int = 5) -> Claim:
    """An issue that failed an hour after everything at it was said; its claim."""
    number = server.add_issue(REPO, "Broken", "It is.", author="ann", comments=[("ann", said)])
    server.add_comment(REPO, number, server.login, f"{comment_marker(number)}\nNo luck.")
    settle_in_the_past(server.issue(REPO, number), hours)
    seen = issue_digest(forge.issue(REPO, number), forge.comments(REPO, number))
    expires = datetime.now(UTC) - (hours - 1) * HOUR
    return Claim(number, "released", "r", "h", 1, expires, outcome="no_change", seen=seen, sha="c" * 40)


def requests_for(server: DemoForge, act: Callable[[], object]) -> list[str]:
    return [seen.path for seen in server.asked(act) if not seen.path.endswith(REPO)]


def news(forge: Forge, tick: Callable[[], Discussions], claim: Claim) -> bool:
    discussions = tick()
    found = discussions.has_news(forge.issue(REPO, claim.issue), claim)
    discussions.save([claim.issue])
    return found


def test_what_did_not_move_is_asked_for_once(
    server: DemoForge, forge: Forge, tick: Callable[[], Discussions]
) -> None:
    claims = [parked(server, forge) for _ in range(3)]

    def one() -> None:
        discussions = tick()
        for claim in claims:
            assert not discussions.has_news(forge.issue(REPO, claim.issue), claim)
        discussions.save([claim.issue for claim in claims])

    first = [path for _ in claims for path in requests_for(server, one)]
    assert sum(path.endswith("/comments") and "/issues/comments" not in path for path in first) == 3
    for _ in range(3):
        again = requests_for(server, one)
        assert [path for path in again if path.endswith("/comments")] == [again[1]]
        assert again[1].endswith(f"{REPO}/issues/comments"), "one for the repository"


def change_title(server: DemoForge, number: int) -> None:
    server.edit_issue(REPO, number, title="More broken")


def change_text(server: DemoForge, number: int) -> None:
    server.edit_issue(REPO, number, body="It really is.")


def add(server: DemoForge, number: int) -> None:
    server.add_comment(REPO, number, "ann", "Still.")


def edit(server: DemoForge, number: int) -> None:
    """Gitea leaves the issue's own moment as it is."""
    comment = server.comments(REPO, number)[0]
    comment.body, comment.updated_at = "I meant the other one.", datetime.now(UTC)


def remove(server: DemoForge, number: int) -> None:
    del server.issue(REPO, number).comments[0]


def replace_one(server: DemoForge, number: int) -> None:
    """As many as before."""
    remove(server, number)
    add(server, number)


CHANGES = [change_title, change_text, add, edit, remove, replace_one]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("is_known", [True, False], ids=["known", "fresh cache"])
def test_whatever_a_person_does_is_news_at_the_next_tick(
    server: DemoForge,
    forge: Forge,
    tick: Callable[[], Discussions],
    change: Callable[[DemoForge, int], None],
    is_known: bool,
) -> None:
    claim = parked(server, forge)
    if is_known:
        assert not news(forge, tick, claim)
    change(server, claim.issue)
    assert news(forge, tick, claim)
    assert news(forge, tick, claim), "until it is taken up"


def bots(server: DemoForge, number: int) -> None:
    server.add_comment(REPO, number, "helper[bot]", "Stale.")


def ours(server: DemoForge, number: int) -> None:
    comment = server.comments(REPO, number)[1]
    comment.body, comment.updated_at = f"{comment_marker(number)}\nAgain no luck.", datetime.now(UTC)


def labels(server: DemoForge, number: int) -> None:
    server.edit_issue(REPO, number, labels=["p1"])


@pytest.mark.parametrize("noise", [bots, ours, labels])
def test_noise_is_none(
    server: DemoForge,
    forge: Forge,
    tick: Callable[[], Discussions],
    noise: Callable[[DemoForge, int], None],
) -> None:
    claim = parked(server, forge)
    assert not news(forge, tick, claim)
    noise(server, claim.issue)
    assert not news(forge, tick, claim)


def test_a_fresh_cache_asks_for_a_few_that_seem_quiet_and_for_all_that_moved(
    server: DemoForge, forge: Forge, tick: Callable[[], Discussions]
) -> None:
    claims = [parked(server, forge) for _ in range(12)]
    edit(server, claims[-2].issue)  # not to be seen from outside on Gitea
    add(server, claims[-1].issue)
    found: list[int] = []

    def one() -> None:
        discussions = tick()
        found[:] = [c.issue for c in claims if discussions.has_news(forge.issue(REPO, c.issue), c)]
        discussions.save([claim.issue for claim in claims])

    asked = [path for path in requests_for(server, one) if path.endswith("/comments")]
    assert claims[-1].issue in found
    assert len(asked) <= 3
    for _ in range(len(claims)):
        one()
    assert found == [claims[-2].issue, claims[-1].issue], "some ticks later"


def test_what_was_said_during_the_attempt_is_news_right_after_it(
    server: DemoForge, forge: Forge, tick: Callable[[], Discussions]
) -> None:
    for _ in range(3):
        news(forge, tick, parked(server, forge))
    claim = parked(server, forge)
    add(server, claim.issue)
    server.add_comment(REPO, claim.issue, server.login, f"{comment_marker(claim.issue)}\nNo luck.")
    assert news(forge, tick, replace(claim, expires=datetime.now(UTC) + timedelta(seconds=1)))


def test_a_forge_that_does_not_tell_is_asked_for_each(
    server: DemoForge, forge: Forge, tick: Callable[[], Discussions]
) -> None:
    claim = parked(server, forge)
    assert not news(forge, tick, claim)
    server.faults.append(Fault(r"/issues/comments\?", status=404, times=None))
    edit(server, claim.issue)
    assert news(forge, tick, claim)


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"began": "yesterday"}', b"\xff"])
def test_a_cache_of_no_use_is_made_anew(
    server: DemoForge, forge: Forge, tick: Callable[[], Discussions], tmp_path: Path, damage: bytes
) -> None:
    claim = parked(server, forge)
    assert not news(forge, tick, claim)
    path = tmp_path / "discussions" / "x.json"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(damage)
    edit(server, claim.issue)
    assert news(forge, tick, claim)


def test_a_dry_run_reads_what_is_known_and_writes_nothing(
    server: DemoForge, forge: Forge, tick: Callable[[], Discussions], tmp_path: Path
) -> None:
    path = tmp_path / "discussions" / "x.json"
    claim = parked(server, forge)
    dry = Discussions(forge, REPO, path, is_kept=False)
    assert not dry.has_news(forge.issue(REPO, claim.issue), claim)
    dry.save([claim.issue])
    assert not path.exists()


# --- after a pull request of ours was closed ---


def closed_pull(server: DemoForge, claim: Claim, ago: timedelta) -> Claim:
    server.commit(REPO, "feat/issue", "Try", {"x": "1\n"})
    pull = server.add_pull(REPO, "feat/issue", author=server.login)
    server.close_issue(REPO, pull)
    server.issue(REPO, pull).closed_at = datetime.now(UTC).replace(microsecond=0) - ago
    return replace(claim, outcome="pr_opened", pr=pull)


def test_only_what_is_said_after_the_close_brings_it_back(
    server: DemoForge, forge: Forge, tick: Callable[[], Discussions]
) -> None:
    claim = parked(server, forge)
    comment = server.add_comment(REPO, claim.issue, "ann", "Not like this; I close it.")
    stored = server.store.comment(server.repo(REPO), comment)
    assert stored is not None
    stored.created_at = stored.updated_at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
    claim = closed_pull(server, claim, timedelta(minutes=9))
    assert not news(forge, tick, claim)
    assert not news(forge, tick, claim)
    add(server, claim.issue)
    assert news(forge, tick, claim)


@pytest.mark.parametrize("change", [change for change in CHANGES if change is not remove])
@pytest.mark.parametrize("minutes", [9, -9], ids=["before the change", "after the change"])
def test_each_change_before_and_after_the_close(
    server: DemoForge,
    forge: Forge,
    tick: Callable[[], Discussions],
    change: Callable[[DemoForge, int], None],
    minutes: int,
) -> None:
    claim = parked(server, forge)
    claim = closed_pull(server, claim, timedelta(minutes=minutes))
    change(server, claim.issue)
    assert news(forge, tick, claim) is (minutes > 0)


def test_that_a_closed_pull_request_was_looked_at_is_remembered(
    server: DemoForge, forge: Forge, tick: Callable[[], Discussions]
) -> None:
    claim = closed_pull(server, parked(server, forge), -HOUR)
    add(server, claim.issue)
    comment = server.comments(REPO, claim.issue)[-1]
    comment.created_at = comment.updated_at = datetime.now(UTC) - timedelta(minutes=30)
    assert not news(forge, tick, claim)
    asked = requests_for(server, lambda: news(forge, tick, claim))
    assert not [path for path in asked if "/pulls/" in path]


def test_a_pull_request_that_is_gone_holds_nobody_up(
    server: DemoForge, forge: Forge, tick: Callable[[], Discussions]
) -> None:
    claim = replace(parked(server, forge), outcome="pr_opened", pr=999)
    assert not news(forge, tick, claim)
    add(server, claim.issue)
    assert news(forge, tick, claim)
