"""What a forge's rules for a branch say against the push of a new one, in sentences for an operator."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from sprint.forge.http_errors import clean


class Protection(Struct):
    """A rule of Gitea's for branches whose name matches."""

    rule_name: str = ""
    branch_name: str = ""  # servers before 1.19
    enable_push: bool = True
    enable_push_whitelist: bool = False
    push_whitelist_usernames: list[str] | None = None
    push_whitelist_teams: list[str] | None = None
    require_signed_commits: bool = False
    protected_file_patterns: str = ""
    block_on_outdated_branch: bool = False


class Rule(Struct):
    """A rule of GitHub's that is active for a branch."""

    type: str = ""
    parameters: dict[str, Any] | None = None


# What each type of GitHub's does to a push of ours; those that are left out do nothing to it.
_GITHUB: Mapping[str, str] = {
    "creation": "only who may bypass the rule creates such a branch",
    "update": "only who may bypass the rule pushes to such a branch",
    "required_signatures": "commits must be signed",
    "pull_request": "changes come by a pull request only",
    "required_status_checks": "checks must have passed before a push",
    "required_deployments": "deployments must have passed before a push",
    "branch_name_pattern": "the branch's name must fit a pattern",
    "commit_message_pattern": "commit messages must fit a pattern",
    "commit_author_email_pattern": "the author's address must fit a pattern",
    "committer_email_pattern": "the committer's address must fit a pattern",
    "file_path_restriction": "some paths may not be changed",
    "file_extension_restriction": "some file types may not be changed",
    "max_file_size": "files may not be larger than a limit",
    "max_file_path_length": "paths may not be longer than a limit",
}


def against_gitea(protections: Sequence[Protection], branch: str, login: str) -> list[str]:
    """What speaks against a push to `branch` by `login`; the first rule that matches is the one in force."""
    rule = _rule_for(protections, branch)
    if rule is None:
        return []
    name = rule.rule_name or rule.branch_name
    return [clean(f"the rule {name}: {reason}") for reason in _reasons(rule, login)]


def blocks_outdated(protections: Sequence[Protection], base: str) -> bool:
    """Whether only what is up to date with that branch is merged into it."""
    rule = _rule_for(protections, base)
    return rule is not None and rule.block_on_outdated_branch


def _rule_for(protections: Sequence[Protection], branch: str) -> Protection | None:
    names = ((rule, rule.rule_name or rule.branch_name) for rule in protections)
    return next((rule for rule, name in names if glob(name).fullmatch(branch)), None)


def _reasons(rule: Protection, login: str) -> list[str]:
    allowed = [name.lower() for name in rule.push_whitelist_usernames or ()]
    reasons = []
    if not rule.enable_push:
        reasons.append("nobody may push")
    elif rule.enable_push_whitelist and login.lower() not in allowed:
        teams = " and some teams" if rule.push_whitelist_teams else ""
        reasons.append(f"only {', '.join(allowed) or 'nobody'}{teams} may push")
    if rule.require_signed_commits:
        reasons.append("commits must be signed")
    if rule.protected_file_patterns:
        reasons.append(f"files like {rule.protected_file_patterns} may not be changed")
    return reasons


def against_github(rules: Sequence[Rule]) -> list[str]:
    said = []
    for rule in rules:
        if words := _GITHUB.get(rule.type):
            pattern = (rule.parameters or {}).get("pattern")
            shown = f" ({pattern})" if isinstance(pattern, str) else ""
            said.append(clean(f"the rule {rule.type}: {words}{shown}"))
    return said


def glob(pattern: str) -> re.Pattern[str]:
    """A branch pattern of Gitea's: `*` stays between slashes, `**` does not."""
    meanings = {"**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")"}
    out, depth = "", 0
    for piece in re.findall(r"\*\*|\\.|\[[^\]]+\]|.", pattern):
        depth += {"{": 1, "}": -1}.get(piece, 0)
        if len(piece) > 1 and piece[0] == "[":
            out += f"[{re.sub('^!', '^', piece[1:-1])}]"
        elif piece == ",":
            out += "|" if depth > 0 else ","
        else:
            out += meanings.get(piece) or re.escape(piece[-1])
    try:
        return re.compile(out)
    except re.error:
        return re.compile(re.escape(pattern))
