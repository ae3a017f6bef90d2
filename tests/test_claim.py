"""Claims on a real git server: one winner, expiry, hand-over and history."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sprint import git
from sprint.claim import LEASE, Claims, Lease, ref_of
from sprint.domain import Claim, Secret
from sprint.errors import ForgeError
from tests.servers.forge import DemoForge, Fault

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def server(tmp_path: Path) -> git.Remote:
    path = tmp_path / "server.git"
    git.init_bare(path)
    first = git.commit_tree(path, git.empty_tree(path), [], "First", "ada", "ada@localhost", when=NOW)
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
        previous = here.release(renewed, NOW, outcome=outcome, detail=f"why {n}")
    there = claims_of(tmp_path, server, "there")
    there.read()
    assert [(c.attempt, c.outcome, c.detail) for c in there.history(7)] == [
        (1, "checks_failed", "why 0"),
        (2, "limit", "why 1"),
    ]
    assert there.history(8) == []


@pytest.mark.parametrize("message", ["not json", "{}", json.dumps({"state": 3}), ""])
def test_a_ref_that_somebody_else_wrote_counts_as_no_claim(
    tmp_path: Path, server: git.Remote, message: str
) -> None:
    here = claims_of(tmp_path, server, "here")
    here.read()
    sha = git.commit_tree(
        here.git_dir, git.empty_tree(here.git_dir), [], message or " ", "x", "x@example.org", when=NOW
    )
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
