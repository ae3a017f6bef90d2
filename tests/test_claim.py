"""Claims on a real git server: one winner, expiry, hand-over and history."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sprint import git
from sprint.claim import LEASE, Claims, ref_of
from sprint.domain import Claim, Outcome, Secret, replace
from sprint.errors import ForgeError, Stopped
from sprint.renewal import Lease
from tests.servers.forge import DemoForge, Fault
from tests.waiting import wait_until

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def server(tmp_path: Path) -> git.Remote:
    path = tmp_path / "server.git"
    git.init_bare(path)
    first = git.commit_tree(path, git.EMPTY_TREE, [], "First", "ada", "ada@localhost", when=NOW)
    git.update_ref(path, "refs/heads/main", first)
    return git.Remote(str(tmp_path / "server.git"))


def claims_of(tmp_path: Path, server: git.Remote, host: str) -> Claims:
    return Claims(tmp_path / f"{host}.git", server, host)


def test_a_claim_is_seen_by_other_hosts(tmp_path: Path, server: git.Remote) -> None:
    here, there = claims_of(tmp_path, server, "here"), claims_of(tmp_path, server, "there")
    assert here.read() == {}
    taken = here.take(7, "run-1", "digest", None, NOW)
    assert taken is not None
    seen = there.read()[7]
    assert (seen.state, seen.run, seen.host, seen.attempt) == ("claimed", "run-1", "here", 1)
    assert seen.expires == NOW + LEASE
    assert seen == taken


@pytest.mark.parametrize("is_first", [True, False])
def test_a_look_that_nobody_waits_for_any_more_ends(
    gitea: DemoForge, tmp_path: Path, *, is_first: bool
) -> None:
    gitea.add_repo("acme/widgets", {"README.md": "Widgets.\n"})
    remote = git.Remote(f"{gitea.url}/acme/widgets.git", Secret(gitea.token))
    claims = claims_of(tmp_path, remote, "here")
    if not is_first:
        claims.read()

    def watch() -> str:
        raise Stopped("nobody waits")

    gitea.faults.append(Fault(path="info/refs", hang=20))
    with pytest.raises(Stopped):
        claims.board(watch)


def test_the_second_to_claim_loses(tmp_path: Path, server: git.Remote) -> None:
    here, there = claims_of(tmp_path, server, "here"), claims_of(tmp_path, server, "there")
    here.read()
    there.read()
    assert here.take(7, "run-1", "", None, NOW) is not None
    assert there.take(7, "run-2", "", None, NOW) is None
    assert there.read()[7].run == "run-1"


def test_a_claim_whose_answer_never_came_is_ours_all_the_same(tmp_path: Path, server: git.Remote) -> None:
    """Renewed, released and taken by what was known before a push that was done without our knowing."""
    here = claims_of(tmp_path, server, "here")
    known = here.take(7, "run-1", "", None, NOW)
    assert known is not None
    assert here.take(7, "run-1", "", None, NOW) is not None
    assert here.renew(known, NOW) is not None
    assert here.renew(known, NOW + LEASE) is not None
    assert here.release(known, NOW, outcome="pr_opened") is not None
    assert here.read()[7].outcome == "pr_opened"
    assert here.renew(known, NOW) is None, "it is released"


def test_a_push_that_libcurl_says_again_is_no_lost_race(tmp_path: Path, gitea: DemoForge) -> None:
    gitea.add_repo("acme/widgets", {"README": "x\n"})
    remote = git.Remote(f"{gitea.url}/acme/widgets.git", Secret(gitea.token))
    gitea.faults.append(Fault("git-receive-pack$", method="POST", drop=True, after=True))
    assert claims_of(tmp_path, remote, "here").take(7, "run-1", "", None, NOW) is not None
    said = [seen.status for seen in gitea.requests if seen.method == "POST" and "receive-pack" in seen.path]
    assert said == [0, 200]


def test_a_page_that_is_not_gits_is_no_board_without_claims(tmp_path: Path, gitea: DemoForge) -> None:
    """Git takes it for a server without refs, and a run would take its claim for lost."""
    gitea.add_repo("acme/widgets", {"README": "x\n"})
    here = claims_of(tmp_path, git.Remote(f"{gitea.url}/acme/widgets.git", Secret(gitea.token)), "here")
    assert here.read() == {}
    taken = here.take(7, "run-1", "", None, NOW)
    gitea.faults.append(Fault("info/refs", times=None, status=200, body=b"<html>Sign in</html>"))
    with pytest.raises(ForgeError, match="login page"):
        here.read()
    gitea.faults.clear()
    assert here.read() == {7: taken}


def test_ten_processes_on_one_issue_give_one_winner(tmp_path: Path, server: git.Remote) -> None:
    code = """
import sys
import threading
import time
from datetime import datetime, UTC
from pathlib import Path
from sprint import git
from sprint.claim import Claims
claims = Claims(Path(sys.argv[1]), git.Remote(sys.argv[2]), sys.argv[3])
previous = claims.read().get(1)
print("ready", flush=True)
sys.stdin.readline()
print("won" if claims.take(1, "run-" + sys.argv[3], "", previous, datetime.now(UTC)) else "lost")
"""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / f"racer-{n}.git"), server.url, f"host-{n}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(10)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    results = [racer.communicate(timeout=60)[0].strip() for racer in racers]
    assert sorted(results) == ["lost"] * 9 + ["won"]
    winner = results.index("won")
    assert claims_of(tmp_path, server, "judge").read()[1].host == f"host-{winner}"


def test_an_expired_claim_is_taken_over_and_the_late_owner_notices(
    tmp_path: Path, server: git.Remote
) -> None:
    here, there = claims_of(tmp_path, server, "here"), claims_of(tmp_path, server, "there")
    mine = here.take(7, "run-1", "digest", None, NOW)
    assert mine is not None
    theirs = there.take(7, "run-2", "digest", there.read()[7], NOW + LEASE * 2)
    assert theirs is not None
    assert theirs.attempt == 2
    assert here.renew(mine, NOW + LEASE * 2) is None
    assert here.release(mine, NOW, outcome="pr_opened") is None
    assert there.read()[7].run == "run-2"


def test_attempts_start_anew_when_people_change_the_issue(tmp_path: Path, server: git.Remote) -> None:
    here = claims_of(tmp_path, server, "here")
    first = here.take(7, "run-1", "as written", None, NOW)
    assert first is not None
    released = here.release(first, NOW, outcome="checks_failed", not_before=NOW + timedelta(hours=1))
    assert released is not None
    second = here.take(7, "run-2", "as written", released, NOW)
    assert second is not None
    assert second.attempt == 2
    again = here.release(second, NOW, outcome="checks_failed")
    third = here.take(7, "run-3", "edited", again, NOW)
    assert third is not None
    assert third.attempt == 1


def test_history_tells_how_earlier_attempts_ended(tmp_path: Path, server: git.Remote) -> None:
    here = claims_of(tmp_path, server, "here")
    previous: Claim | None = None
    for n, outcome in enumerate(("checks_failed", "limit")):
        taken = here.take(7, f"run-{n}", "", previous, NOW)
        assert taken is not None
        renewed = here.renew(taken, NOW + timedelta(minutes=1))
        assert renewed is not None
        previous = here.release(renewed, NOW, outcome=outcome)
    there = claims_of(tmp_path, server, "there")
    there.read()
    assert [(c.attempt, c.outcome, c.detail) for c in there.history(7)] == [
        (1, "checks_failed", Outcome.CHECKS_FAILED.facts.means),
        (2, "limit", Outcome.LIMIT.facts.means),
    ]
    assert there.history(8) == []


@pytest.mark.parametrize("message", ["not json", "{}", json.dumps({"state": 3}), ""])
def test_a_ref_that_somebody_else_wrote_counts_as_no_claim(
    tmp_path: Path, server: git.Remote, message: str
) -> None:
    here = claims_of(tmp_path, server, "here")
    here.read()
    sha = git.commit_tree(here.git_dir, git.EMPTY_TREE, [], message or " ", "x", "x@example.org", when=NOW)
    assert git.push(here.git_dir, server, sha, ref_of(7), expected="")[0] is git.PushResult.OK
    foreign = here.read()[7]
    assert (foreign.state, foreign.attempt) == ("released", 0)
    assert here.take(7, "run-1", "", foreign, NOW) is not None


def test_a_ref_at_something_else_than_a_commit_holds_nobody_up(tmp_path: Path, server: git.Remote) -> None:
    here = claims_of(tmp_path, server, "here")
    blob = git.git("hash-object", "-w", "--stdin", git_dir=Path(server.url), stdin=b"no claim").out.strip()
    git.update_ref(Path(server.url), ref_of(7), blob)
    foreign = here.read()[7]
    taken = here.take(7, "run-1", "", foreign, NOW)
    assert taken is not None
    assert here.read()[7] == taken


def test_a_forgotten_claim_is_gone_everywhere(tmp_path: Path, server: git.Remote) -> None:
    here, there = claims_of(tmp_path, server, "here"), claims_of(tmp_path, server, "there")
    taken = here.take(7, "run-1", "", None, NOW)
    assert taken is not None
    assert there.read().keys() == {7}
    here.forget(taken)
    assert there.read() == {}


def test_every_outcome_has_words_that_may_be_published(tmp_path: Path, server: git.Remote) -> None:
    here = claims_of(tmp_path, server, "here")
    taken = here.take(7, "run-1", "", None, NOW)
    for outcome in Outcome:
        assert taken is not None
        taken = here.release(taken, NOW, outcome=outcome)
        assert taken is not None
        assert taken.detail == outcome.facts.means != ""


def test_a_lease_is_as_long_as_it_is_asked_to_be(tmp_path: Path, server: git.Remote) -> None:
    here, day = claims_of(tmp_path, server, "here"), timedelta(days=1)
    taken = here.take(7, "run-1", "", None, NOW, lease=day)
    assert taken is not None
    assert here.read()[7].expires == NOW + day
    renewed = here.renew(taken, NOW + day, lease=day)
    assert renewed is not None
    assert here.read()[7].expires == NOW + 2 * day
    again = here.renew(renewed, NOW)
    assert again is not None
    assert again.expires == NOW + LEASE


TODAYS = {
    "state": "claimed",
    "run": "20261121T120102Z-acme-widgets-7-3f9c21aa",
    "host": "laptop",
    "attempt": 2,
    "expires": "2026-01-02T03:19:05Z",
    "not_before": None,
    "outcome": "",
    "detail": "",
    "pr": None,
    "seen": "abc",
}


def test_a_claim_of_the_version_before_is_understood(tmp_path: Path, server: git.Remote) -> None:
    here = claims_of(tmp_path, server, "here")
    here.read()
    tree = git.EMPTY_TREE
    sha = git.commit_tree(here.git_dir, tree, [], json.dumps(TODAYS), "x", "x@example.org", when=NOW)
    git.push(here.git_dir, server, sha, ref_of(7), expected="")
    claim = here.read()[7]
    assert (claim.host, claim.attempt, claim.purpose, claim.rounds) == ("laptop", 2, "issue", 0)
    assert here.renew(claim, NOW) is not None, "and it is ours if its run is"


def test_what_a_claim_counts_stays_with_it(tmp_path: Path, server: git.Remote) -> None:
    here = claims_of(tmp_path, server, "here")
    taken = here.take(7, "run-1", "", None, NOW)
    assert taken is not None
    follow_up = here.renew(replace(taken, purpose="follow_up", rounds=3), NOW)
    assert follow_up is not None
    assert here.read()[7] == follow_up
    assert (here.read()[7].purpose, here.read()[7].rounds) == ("follow_up", 3)
    message = git.read_refs(here.git_dir, "refs/sprint/")[ref_of(7)][1]
    assert set(TODAYS) <= set(json.loads(message)), "the version before finds all that it needs"


def test_many_claims_are_read_from_one_file(tmp_path: Path, server: git.Remote) -> None:
    stream = [
        f"commit {ref_of(n)}\ncommitter x <x@x> 1767323045 +0000\ndata {len(text)}\n{text}\n"
        for n in range(1, 301)
        for text in [json.dumps({**TODAYS, "run": f"run-{n}"})]
    ]
    git.git("fast-import", "--quiet", git_dir=Path(server.url), stdin="".join(stream).encode())
    here = claims_of(tmp_path, server, "here")
    assert len(here.read()) == 300
    assert not list((here.git_dir / "refs").rglob("issue-*"))
    assert here.read()[300].run == "run-300"
    taken = here.take(7, "mine", "", here.read()[7], NOW)
    assert taken is not None
    assert here.read()[7] == taken
    here.forget(taken)
    assert 7 not in here.read()


def test_the_keeper_renews_and_tells_when_the_work_is_not_wanted(tmp_path: Path, server: git.Remote) -> None:
    here = claims_of(tmp_path, server, "here")
    taken = here.take(7, "run-1", "", None, NOW)
    assert taken is not None
    reasons = iter(["", "the issue was closed"])
    with Lease(here, taken, lambda: next(reasons)) as lease:
        lease.renew()
        assert lease.reason_to_stop() == ""
        assert lease.claim.sha != taken.sha
        assert here.read()[7] == lease.claim
        lease.renew()
        assert lease.reason_to_stop() == "the issue was closed"


def test_the_keeper_tells_when_another_host_took_over(tmp_path: Path, server: git.Remote) -> None:
    here, there = claims_of(tmp_path, server, "here"), claims_of(tmp_path, server, "there")
    taken = here.take(7, "run-1", "", None, NOW)
    assert taken is not None
    there.take(7, "run-2", "", there.read()[7], NOW)
    with Lease(here, taken, lambda: "") as lease:
        lease.renew()
        assert "another host" in lease.reason_to_stop()


def test_a_server_that_is_away_is_no_reason_to_stop(tmp_path: Path, server: git.Remote) -> None:
    here = claims_of(tmp_path, server, "here")
    taken = here.take(7, "run-1", "", None, NOW)
    assert taken is not None
    Path(server.url).rename(tmp_path / "moved.git")
    with Lease(here, taken, lambda: "never asked") as lease:
        lease.renew()
        assert lease.reason_to_stop() == ""


@pytest.mark.parametrize("harm", ["head", "objects"])
def test_a_broken_copy_of_the_claims_is_made_anew(tmp_path: Path, server: git.Remote, harm: str) -> None:
    here = claims_of(tmp_path, server, "here")
    taken = here.take(7, "run-1", "", None, NOW)
    assert taken is not None
    if harm == "head":
        (here.git_dir / "HEAD").write_text("junk\n")
    for path in here.git_dir.glob("objects/??/*") if harm == "objects" else ():
        path.chmod(0o600)
        path.write_bytes(b"")  # as a machine leaves them that lost its power
    assert here.read() == {7: taken}
    assert here.renew(taken, NOW) is not None


def test_between_renewals_the_issue_alone_is_looked_at(
    tmp_path: Path, server: git.Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look costs next to nothing: a closed issue is noticed long before the claim is due."""
    monkeypatch.setattr("sprint.renewal.GLANCE_SECONDS", 0.01)
    here = claims_of(tmp_path, server, "here")
    taken = here.take(7, "run-1", "", None, NOW)
    assert taken is not None
    glances = iter(["", "", "the issue was closed"])
    seen = threading.Event()

    def glance() -> str:
        reason = next(glances, "")
        if reason:
            seen.set()
        return reason

    def asked_in_full() -> str:
        raise AssertionError("not before the renewal is due")

    with Lease(here, taken, asked_in_full, glance=glance) as lease:
        assert seen.wait(30)
        assert wait_until(lambda: bool(lease.reason_to_stop()))
        assert lease.reason_to_stop() == "the issue was closed"
        assert lease.claim == taken, "nothing was pushed for it"


def test_the_renewal_comes_when_it_is_due_and_asks_in_full(
    tmp_path: Path, server: git.Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sprint.renewal.GLANCE_SECONDS", 0.01)
    monkeypatch.setattr("sprint.renewal.RENEW_SECONDS", 0.05)
    here = claims_of(tmp_path, server, "here")
    taken = here.take(7, "run-1", "", None, NOW)
    assert taken is not None
    asked = threading.Event()

    def in_full() -> str:
        asked.set()
        return ""

    with Lease(here, taken, in_full) as lease:
        assert asked.wait(30)
    assert lease.claim.sha != taken.sha


def test_what_a_renewal_found_outlasts_a_glance_that_cannot_see_it(
    tmp_path: Path, server: git.Remote
) -> None:
    here = claims_of(tmp_path, server, "here")
    taken = here.take(7, "run-1", "", None, NOW)
    assert taken is not None

    def away() -> str:
        raise ForgeError("away")

    glances = iter([lambda: "", away])
    with Lease(
        here, taken, lambda: "pull request #9 closes it already", glance=lambda: next(glances)()
    ) as lease:
        lease.renew()
        for _ in range(2):
            lease.glance()
            assert lease.reason_to_stop() == "pull request #9 closes it already"
