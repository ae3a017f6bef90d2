"""Rules for branches, as Gitea and GitHub tell them."""

from __future__ import annotations

from typing import Any

import pytest
import responses

from sprint.config import ForgeConfig
from sprint.domain import Secret
from sprint.forge import connect
from sprint.forge.branch_rules import glob

REPO = "octo/widgets"
BRANCH = "feat/issue-0"
GITEA = "https://git.example.org/api/v1"
GITHUB = "https://api.github.com"


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("feat/issue-0", True),
        ("feat/*", True),
        ("feat/**", True),
        ("**", True),
        ("*", False),
        ("feat*", False),
        ("f?at/issue-[0-9]", True),
        ("feat/issue-[!0]", False),
        ("{fix,feat}/issue-0", True),
        ("{fix,docs}/issue-0", False),
        (r"feat/issue\-0", True),
        ("feat/[", False),
        ("feat/issue-0,x", False),
    ],
)
def test_giteas_patterns(pattern: str, matches: bool) -> None:
    assert (glob(pattern).fullmatch(BRANCH) is not None) is matches


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"rule_name": "main", "enable_push": False}, []),
        ({"rule_name": "feat/**", "enable_push": False}, ["the rule feat/**: nobody may push"]),
        ({"branch_name": BRANCH, "enable_push": False}, [f"the rule {BRANCH}: nobody may push"]),
        ({"rule_name": "feat/*", "enable_push": True}, []),
        (
            {"rule_name": "feat/*", "enable_push_whitelist": True, "push_whitelist_usernames": ["ann"]},
            ["the rule feat/*: only ann may push"],
        ),
        (
            {"rule_name": "feat/*", "enable_push_whitelist": True, "push_whitelist_usernames": ["Bot"]},
            [],
        ),
        (
            {"rule_name": "feat/*", "require_signed_commits": True, "protected_file_patterns": "*.yml"},
            [
                "the rule feat/*: commits must be signed",
                "the rule feat/*: files like *.yml may not be changed",
            ],
        ),
    ],
)
def test_what_gitea_tells_an_administrator(rule: dict[str, Any], said: list[str]) -> None:
    with responses.RequestsMock() as server:
        server.get(f"{GITEA}/repos/{REPO}/branch_protections", json=[rule])
        server.get(f"{GITEA}/user", json={"login": "bot"})
        forge = connect(ForgeConfig(kind="gitea", url="https://git.example.org"), Secret("t0ken"))
        assert forge.branch_rules(REPO, BRANCH) == said


@pytest.mark.parametrize("status", [403, 404, 500])
def test_what_is_not_told_is_not_known(slept: list[float], status: int) -> None:
    with responses.RequestsMock() as server:
        server.get(f"{GITEA}/repos/{REPO}/branch_protections", status=status, body="")
        server.get(f"{GITHUB}/repos/{REPO}/rules/branches/feat%2Fissue-0", status=status, body="")
        gitea = connect(ForgeConfig(kind="gitea", url="https://git.example.org"), Secret("t0ken"))
        assert gitea.branch_rules(REPO, BRANCH) is None
        assert connect(ForgeConfig(kind="github"), Secret("t0ken")).branch_rules(REPO, BRANCH) is None


def test_what_github_tells() -> None:
    rules = [
        {"type": "creation", "ruleset_source_type": "Repository", "ruleset_id": 1},
        {"type": "deletion"},
        {"type": "commit_message_pattern", "parameters": {"operator": "regex", "pattern": "^JIRA-\x1b[2J"}},
        {"type": "something_new", "parameters": None},
    ]
    with responses.RequestsMock() as server:
        server.get(f"{GITHUB}/repos/{REPO}/rules/branches/feat%2Fissue-0", json=rules)
        found = connect(ForgeConfig(kind="github"), Secret("t0ken")).branch_rules(REPO, BRANCH)
    assert found == [
        "the rule creation: only who may bypass the rule creates such a branch",
        "the rule commit_message_pattern: commit messages must fit a pattern (^JIRA- [2J)",
    ]
