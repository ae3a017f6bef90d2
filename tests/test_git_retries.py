"""git's requests to servers that fail for a while: repeated like REST ones, a push only after a look."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sprint import git
from sprint.domain import Secret
from sprint.errors import ForgeError
from sprint.retries import ATTEMPTS, PassingFault
from tests.servers.forge import DemoForge, Fault

REPO = "octo/widgets"
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REF = "refs/sprint/issue-1"


@pytest.fixture
def forge(forge_server: DemoForge) -> DemoForge:
    forge_server.add_repo(REPO, {"README.md": "widgets\n"}, "trunk", private=True)
    return forge_server


@pytest.fixture
def store(tmp_path: Path) -> Path:
    git.init_bare(tmp_path / "store.git")
    return tmp_path / "store.git"


def remote_of(forge: DemoForge) -> git.Remote:
    return git.Remote(f"{forge.url}/{REPO}.git", Secret(forge.token))


def make(store: Path, message: str = "one", *parents: str) -> str:
    return git.commit_tree(store, git.EMPTY_TREE, parents, message, "Ann", "ann@example.org", WHEN)


def pushes(forge: DemoForge) -> list[int]:
    """The status of each push that reached the server."""
    return [seen.status for seen in forge.requests if seen.method == "POST" and "receive-pack" in seen.path]


PASSING = {
    "failing": Fault("info/refs", status=503),
    "bad gateway": Fault("info/refs", status=502, body="<html>nginx</html>"),
    "busy": Fault("info/refs", status=429),
    "hung up": Fault("info/refs", drop=True),
    "cut": Fault("git-upload-pack", truncate=True),
}


@pytest.mark.parametrize("name", PASSING)
def test_a_read_that_fails_for_a_while_is_repeated(
    forge: DemoForge, store: Path, name: str, slept: list[float]
) -> None:
    fault = PASSING[name]
    fault.hits, fault.times = 0, 2
    forge.faults.append(fault)
    git.fetch(store, remote_of(forge), "+refs/heads/*:refs/heads/*")
    assert git.resolve(store, "refs/heads/trunk")
    assert 1 <= len(slept) <= 2  # libcurl itself says a request again whose connection broke off
    assert list(git.ls_remote(remote_of(forge), "refs/heads/*")) == ["refs/heads/trunk"]


def test_it_is_not_repeated_for_ever(forge: DemoForge, slept: list[float]) -> None:
    forge.faults.append(Fault("info/refs", status=503, times=None))
    with pytest.raises(ForgeError, match="HTTP 503; try again later") as caught:
        git.ls_remote(remote_of(forge))
    assert caught.value.status == 503
    assert not isinstance(caught.value, PassingFault)
    assert len(slept) == ATTEMPTS - 1
    assert slept == sorted(slept)


@pytest.mark.parametrize("status", [401, 404])
def test_what_does_not_pass_is_said_at_once(forge: DemoForge, slept: list[float], status: int) -> None:
    forge.faults.append(Fault("info/refs", status=status, times=None))
    with pytest.raises(ForgeError) as caught:
        git.ls_remote(remote_of(forge))
    assert caught.value.status == status
    assert slept == []


LIMITS = {
    "retry after": {"Retry-After": "7"},
    "a date": {"Retry-After": "Thu, 01 Jan 2026 00:00:07 GMT", "Date": "Thu, 01 Jan 2026 00:00:00 GMT"},
    "primary": {
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1767225606",
        "Date": "Thu, 01 Jan 2026 00:00:00 GMT",
    },
}


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_waited_for_as_told(forge: DemoForge, slept: list[float], status: int, name: str) -> None:
    forge.faults.append(Fault("info/refs", status=status, headers=LIMITS[name], times=2))
    assert git.ls_remote(remote_of(forge))
    assert len(slept) == 2
    assert slept[1] == 7.0, "the first attempt hears no headers, the second does"


def test_a_limit_that_outlasts_our_patience_says_when_to_come_back(
    forge: DemoForge, slept: list[float]
) -> None:
    forge.faults.append(Fault("info/refs", status=403, headers={"Retry-After": "3600"}, times=None))
    with pytest.raises(ForgeError, match=r"limits our requests \(403\); try again after 2") as caught:
        git.ls_remote(remote_of(forge))
    assert caught.value.status == 403
    assert len(slept) == 1


def test_a_403_without_a_limit_is_a_missing_right(forge: DemoForge, slept: list[float]) -> None:
    forge.faults.append(Fault("info/refs", status=403, times=None))
    with pytest.raises(ForgeError, match="forbids this token"):
        git.ls_remote(remote_of(forge))
    assert len(slept) == 1


def test_a_limit_that_is_told_in_words_only(forge: DemoForge, slept: list[float]) -> None:
    words = "You have exceeded a secondary rate limit."
    forge.faults.append(
        Fault("info/refs", status=403, headers={"Content-Type": "text/plain"}, body=words, times=None)
    )
    with pytest.raises(ForgeError, match="limits our requests"):
        git.ls_remote(remote_of(forge))


@pytest.mark.parametrize("how", [{"status": 500}, {"status": 502}, {"drop": True}])
def test_a_push_whose_answer_is_lost_is_looked_up(
    forge: DemoForge, store: Path, slept: list[float], how: dict[str, bool | int]
) -> None:
    """It was done: said again it would lose a race against itself, and taken for done without a look it
    might not be."""
    times = 2 if "drop" in how else 1  # libcurl says it again by itself
    forge.faults.append(Fault("git-receive-pack$", method="POST", after=True, times=times, **how))  # type: ignore[arg-type]
    one = make(store)
    assert git.push(store, remote_of(forge), one, REF, expected="") == (git.PushResult.OK, "")
    assert git.ls_remote(remote_of(forge), REF) == {REF: one}
    assert len(pushes(forge)) == times


def test_a_push_that_was_not_done_is_done_after_the_look(
    forge: DemoForge, store: Path, slept: list[float]
) -> None:
    one, other = make(store), make(store, "other")
    assert git.push(store, remote_of(forge), one, REF, expected="")[0] is git.PushResult.OK
    forge.faults.append(Fault("git-receive-pack$", method="POST", status=503))
    assert git.push(store, remote_of(forge), other, REF, expected=one)[0] is git.PushResult.OK
    assert git.ls_remote(remote_of(forge), REF) == {REF: other}


def test_a_push_whose_place_was_taken_meanwhile_has_lost(
    forge: DemoForge, store: Path, slept: list[float]
) -> None:
    """Between a push without an answer and the look another host was faster: theirs stays."""
    one, theirs = make(store), make(store, "theirs")
    remote = remote_of(forge)

    def other_host() -> None:
        assert git.push(store, remote, theirs, REF, expected="")[0] is git.PushResult.OK

    forge.faults.append(Fault("git-receive-pack$", method="POST", status=503, call=other_host))
    assert git.push(store, remote, one, REF, expected="")[0] is git.PushResult.LOST_RACE
    assert git.ls_remote(remote, REF) == {REF: theirs}


def test_a_removal_whose_answer_is_lost_is_looked_up(
    forge: DemoForge, store: Path, slept: list[float]
) -> None:
    remote, one = remote_of(forge), make(store)
    git.push(store, remote, one, REF, expected="")
    forge.faults.append(Fault("git-receive-pack$", method="POST", after=True, status=502))
    assert git.delete_ref(store, remote, REF, expected=one) is git.PushResult.OK
    assert git.ls_remote(remote, REF) == {}


def test_listening_to_headers_shows_the_token_to_nobody(
    forge: DemoForge, store: Path, slept: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    forge.faults.append(Fault("info/refs", status=403, headers={"Retry-After": "1"}, times=None))
    with caplog.at_level("DEBUG"), pytest.raises(ForgeError) as caught:
        git.fetch(store, remote_of(forge), "+refs/heads/*:refs/heads/*")
    kept = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    assert forge.token not in caplog.text + str(caught.value)
    assert forge.token.encode() not in kept
