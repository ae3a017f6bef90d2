"""The id by which others know a host: random, made once for each results folder, nobody else's to write."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sprint import git, host, proc
from tests.kills import script
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site
from tests.widgets import CHECK, FILES, REPO


def test_it_is_made_once_and_stays(tmp_path: Path) -> None:
    assert host.known_id(tmp_path / "results") == ""
    made = host.make_id(tmp_path / "results")
    assert re.fullmatch("[0-9a-f]{16}", made)
    assert host.make_id(tmp_path / "results") == made == host.known_id(tmp_path / "results")
    assert (tmp_path / "results" / host.FILE).stat().st_mode & 0o777 == 0o600
    assert host.make_id(tmp_path / "others") != made
    assert [path.name for path in (tmp_path / "results").iterdir()] == [host.FILE]


def test_many_at_once_make_one(tmp_path: Path) -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(host.make_id(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(made)) == 1


@pytest.mark.parametrize("damage", [b"", b"my-laptop\n", b"\xff" * 16, b"0" * 17])
def test_one_of_no_use_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / host.FILE).write_bytes(damage)
    assert host.known_id(tmp_path) == ""
    assert host.make_id(tmp_path) == host.known_id(tmp_path) != ""


def test_the_machines_name_and_a_servers_words_are_not_published(
    gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]
) -> None:
    """Neither with the claim of a run that came to something, nor with that of one that a server refused."""
    gitea.add_repo(REPO, FILES)
    bug = gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    gitea.protect(REPO, f"feat/issue-{bug}")
    repos = [{"name": REPO, "checks": [CHECK], "sandbox": {"kind": "none"}}]
    site = Site(workspaces / "site", gitea, model_server(script), repos=repos)
    site.sprint("run", REPO)
    (row,) = site.rows()
    assert row["outcome"] == "policy_refused"
    assert "protected branch" in row["detail"], "the operator reads it"
    assert row["host"] == proc.hostname()
    published = git_log(gitea) + "".join(comment.body for comment in gitea.comments(REPO, bug))
    assert host.known_id(site.path / "results") in published
    assert "policy_refused" in published
    claims = git_log(gitea)
    for secret in (proc.hostname(), gitea.url, "127.0.0.1", "protected branch"):
        assert secret not in claims, secret
    assert proc.hostname() not in published


def git_log(forge: DemoForge) -> str:
    refs = git.read_refs(forge.path(REPO), "refs/sprint/")
    return "\n".join(message for sha, _ in refs.values() for _, message in git.log(forge.path(REPO), sha))
