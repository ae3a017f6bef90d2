"""What was said at a pull request and what CI says of it, as each forge tells it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from sprint.domain import PublicText, Remark
from sprint.forge import wire
from sprint.forge.remarks import check_run
from tests.forge.conftest import client
from tests.servers.forge import DemoForge, Fault

REPO = "acme/widgets"
LOGGED = "2026-11-27T18:30:48.0000000Z "


@pytest.fixture
def pull(forge_server: DemoForge) -> int:
    forge_server.add_repo(REPO, {"a": "b"})
    forge_server.grant(REPO, "ann")
    for login in ("ann", "eve"):
        forge_server.add_user(login)
    forge_server.commit(REPO, "feat/issue-1", "change", {"a": "c"})
    return forge_server.add_pull(REPO, "feat/issue-1", author=forge_server.login)


def by(remarks: list[Remark], **wanted: Any) -> list[Remark]:
    return [r for r in remarks if all(getattr(r, name) == value for name, value in wanted.items())]


def test_who_said_what_where_and_who_may(forge_server: DemoForge, pull: int) -> None:
    server, forge = forge_server, client(forge_server)
    server.add_comment(REPO, pull, "eve", "Nice.")
    first = server.add_review(REPO, pull, "ann", "REQUEST_CHANGES", "No.", lines=[("a", 1, "Why?")])
    server.add_review(REPO, pull, "eve", "REQUEST_CHANGES", "No, too.")
    found = forge.remarks(REPO, pull)
    (nice,) = by(found, author="eve", review=0)
    assert (nice.may_write, nice.asks) == (False, False)
    (asked,) = by(found, id=first)
    assert (asked.author, asked.may_write, asked.asks) == ("ann", True, True)
    (why,) = by(found, body="Why?")
    assert (why.path, why.line, why.review, why.may_write) == ("a", 1, first, True)
    (no_say,) = by(found, body="No, too.")
    assert no_say.may_write is False
    server.add_review(REPO, pull, "ann", "COMMENT", "As I said.")
    assert by(forge.remarks(REPO, pull), id=first)[0].asks, "a comment takes nothing back"
    server.add_review(REPO, pull, "ann", "APPROVED", "Now it is good.", lines=[("a", 1, "Nit.")])
    later = forge.remarks(REPO, pull)
    assert not by(later, id=first)[0].asks
    assert by(later, body="Now it is good.") == by(later, body="Nit.") == []


def test_an_answer_stands_in_the_thread(forge_server: DemoForge, pull: int) -> None:
    server, forge = forge_server, client(forge_server)
    review = server.add_review(REPO, pull, "ann", "COMMENT", "", lines=[("a", 1, "Why?")])
    (asked,) = by(forge.remarks(REPO, pull), body="Why?")
    forge.answer(REPO, pull, asked, PublicText("Because."))
    (answer,) = by(forge.remarks(REPO, pull), body="Because.")
    assert (answer.author, answer.path, answer.line) == (server.login, "a", 1)
    is_reply = server.kind == "github"  # Gitea 1.26 has none: it is a review of its own
    assert (answer.review == review) is is_reply


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("comments/9/replies", {"body": "Because."}),  # Gitea from 1.27
        (  # Forgejo
            "reviews/7/comments",
            {"body": "Because.", "path": "a", "new_position": 0, "old_position": 3},
        ),
    ],
)
def test_an_answer_goes_the_way_that_there_is(gitea: DemoForge, way: str, told: dict[str, Any]) -> None:
    gitea.add_repo(REPO, {"a": "b"})
    given: list[Any] = []
    forge = client(gitea)

    def reply(call: Any) -> Any:
        given.append(call.request.json())
        return 200, {}

    gitea.api.routes[f"POST /repos/(?P<repo>[^/]+/[^/]+)/pulls/2/{way}"] = reply
    remark = Remark(9, "ann", "Why?", datetime.now(UTC), review=7, path="a", old_line=3)
    forge.answer(REPO, 2, remark, PublicText("Because."))
    assert given == [told]


def test_a_label_is_made_where_it_is_missing(forge_server: DemoForge, pull: int) -> None:
    forge = client(forge_server)
    assert forge.add_label(REPO, pull, "needs-human")
    assert forge.add_label(REPO, pull, "Needs-Human")
    assert forge_server.issue(REPO, pull).labels == ["needs-human"] or forge_server.kind == "github"
    assert sorted(name.lower() for name in forge_server.repo(REPO).labels)[0] == "needs-human"
    for _ in range(2):
        forge.remove_label(REPO, pull, "needs-human")
        assert "needs-human" not in forge_server.issue(REPO, pull).labels


def test_what_ci_says_is_the_newest_of_each_check(forge_server: DemoForge, pull: int) -> None:
    forge, head = client(forge_server), forge_server.refs(REPO)["refs/heads/feat/issue-1"]
    assert forge.statuses(REPO, head) == []
    for context, state in (("a", "failure"), ("b", "error"), ("c", "pending"), ("a", "success")):
        forge_server.set_status(REPO, head, context, state, "why")
    found = {status.context: status.state for status in forge.statuses(REPO, head)}
    assert found == {"a": "success", "b": "failure", "c": "pending"}


@pytest.mark.parametrize(
    ("status", "conclusion", "state"),
    [
        ("in_progress", None, "pending"),
        ("completed", "failure", "failure"),
        ("completed", "timed_out", "failure"),
        ("completed", "skipped", "success"),
        ("completed", "action_required", "pending"),
        ("completed", "cancelled", "skipped"),
    ],
)
def test_a_check_of_githubs(status: str, conclusion: str | None, state: str) -> None:
    run = wire.CheckRunWire(id=1, name="test", status=status, conclusion=conclusion)
    assert check_run(run).state == state


def test_who_pushed_is_told_by_the_forge(forge_server: DemoForge, pull: int) -> None:
    forge = client(forge_server)
    assert forge.pushers(REPO, forge.pull(REPO, pull)) == set()
    forge_server.commit(REPO, "feat/issue-1", "theirs", {"a": "d"})
    found = forge.pull(REPO, pull)
    assert forge.pushers(REPO, found) == {"somebody"}


def test_what_a_failed_job_printed_is_read_without_the_token_elsewhere(
    forge_server: DemoForge, pull: int, make_forge: Callable[..., DemoForge]
) -> None:
    forge, head = client(forge_server), forge_server.refs(REPO)["refs/heads/feat/issue-1"]
    assert forge.failure_logs(REPO, head) == {}
    forge_server.repo(REPO).logs[head] = {"test": "x" * 30_000 + f"\n{LOGGED}AssertionError\n"}
    (log,) = forge.failure_logs(REPO, head).values()
    assert log.endswith("x\nAssertionError\n")
    assert len(log) == 20_000
    elsewhere = make_forge("gitea")
    away = {"Location": f"{elsewhere.url}/logs"}
    forge_server.faults.append(Fault("/logs", times=None, status=302, headers=away))
    assert forge.failure_logs(REPO, head) == {}
    (seen,) = elsewhere.requests
    assert not seen.has_token
    away["Location"] = "http://169.254.169.254/logs"
    assert forge.failure_logs(REPO, head) == {}
    forge_server.faults[:] = [Fault("/actions", times=None, status=404)]
    assert forge.failure_logs(REPO, head) == {}
