"""Which files CI systems read, and which of a repository's would be run for a branch of ours.

Only what is sure is said: what a workflow's own filters leave open "may run".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from sprint import git, strict_yaml
from sprint.clean_text import safe_line
from sprint.errors import SprintError
from sprint.policy.names import folded
from sprint.policy.patterns import covers

# As in policy/patterns.py: `**/` is any folder, a last slash all that is in a folder.
CI_FILES: Mapping[str, tuple[str, ...]] = {
    "GitHub Actions": (".github/workflows/",),
    "Gitea Actions": (".gitea/workflows/",),
    "Forgejo Actions": (".forgejo/workflows/",),
    "GitLab CI": ("**/.gitlab-ci.yml", "**/.gitlab-ci.yaml", ".gitlab/ci/"),
    "Woodpecker": (".woodpecker/", ".woodpecker.yml", ".woodpecker.yaml"),
    "Drone": (".drone/", ".drone.*"),
    "CircleCI": (".circleci/",),
    "Travis CI": (".travis.yml", ".travis.yaml"),
    "Buildkite": (".buildkite/", "buildkite.yml", "buildkite.yaml"),
    "Jenkins": (".jenkins/", "**/Jenkinsfile", "**/Jenkinsfile.*", "**/*.jenkinsfile"),
    "Azure Pipelines": (
        *(".azure-pipelines/", ".azuredevops/", "**/azure-pipelines*.yml", "**/azure-pipelines*.yaml"),
    ),
    "AppVeyor": (".appveyor.yml", "appveyor.yml"),
    "Bitbucket Pipelines": ("bitbucket-pipelines.yml",),
    "sourcehut builds": (".build.yml", ".builds/"),
    "Cirrus CI": (".cirrus.star", ".cirrus.yml"),
    "Cloud Build": ("cloudbuild.yaml", "cloudbuild.yml"),
    "Semaphore": (".semaphore/",),
    "TeamCity": (".teamcity/",),
    "Tekton": (".tekton/",),
}
# What workflows are made of, and what starts none by itself.
ACTIONS = (".github/actions/", ".gitea/actions/", ".forgejo/actions/", "**/action.yml", "**/action.yaml")

# These have GitHub's form, and tell what starts them under `on`.
_WORKFLOWS = frozenset({"GitHub Actions", "Gitea Actions", "Forgejo Actions"})
_WITH_SECRETS = "pull_request_target"
_LARGEST = 200_000  # bytes of a workflow that is read
_PLAIN_PATTERN = re.compile(r"!?[\w./*-]+")


class Started(Struct, frozen=True):
    """A CI file at the base that our branch, or its pull request, starts or may start."""

    system: str
    path: str
    says: str
    has_secrets: bool  # although the branch is in a fork


def started(
    git_dir: Path, commit: str, branch: str, *, by_fork: bool, of_forge: Collection[str]
) -> Iterator[Started]:
    """What runs at a push of `branch`, to the repository itself or `by_fork`, and at its pull request.

    `of_forge`: whose workflows the forge reads, of those with GitHub's form.
    """
    tree = git.ls_tree(git_dir, commit)
    for system, entries in CI_FILES.items():
        if system in _WORKFLOWS and system not in of_forge:
            continue
        found = {path: sha for path, (_, sha) in tree.items() if covers(entries, folded(path))}
        if system not in _WORKFLOWS:
            yield from (_unread(system, path) for path in sorted(found))
            continue
        wanted = {path: sha for path, sha in found.items() if path.endswith((".yml", ".yaml"))}
        texts = git.read_blobs(git_dir, wanted.values(), _LARGEST)
        for path in sorted(wanted):
            yield from _of_workflow(system, path, texts.get(wanted[path]), branch, by_fork=by_fork)


def _unread(system: str, path: str) -> Started:
    return Started(system, path, "may run; its own rules decide", has_secrets=False)


def _of_workflow(
    system: str, path: str, data: bytes | None, branch: str, *, by_fork: bool
) -> Iterator[Started]:
    events, name = _events(path, data)
    if events is None:
        yield Started(system, path, "may run; it cannot be read", has_secrets=False)
        return
    said = []
    if not by_fork and "push" in events and (how := _on_branch(events["push"], branch)):
        said.append(f"{how} at the push of {branch}")
    for event in ("pull_request", _WITH_SECRETS):
        if event in events:
            with_secrets = ", with the repository's secrets" if event == _WITH_SECRETS else ""
            said.append(f"{_on_pull(events[event])} at its pull request{with_secrets}")
    if said:
        called = f'"{safe_line(name, 60)}" ' if name else ""
        yield Started(system, path, f"{called}{' and '.join(said)}", has_secrets=_WITH_SECRETS in events)


def _events(path: str, data: bytes | None) -> tuple[dict[str, Any] | None, str]:
    """The events of a workflow with their filters, and its name; None where that cannot be told."""
    try:
        parsed = strict_yaml.parse((data or b"").decode("utf-8"), path, strict=False)
    except (SprintError, UnicodeDecodeError):
        return None, ""
    found = parsed if isinstance(parsed, dict) else {}
    on, name = found.get("on"), found.get("name")
    name = name if isinstance(name, str) else ""
    if isinstance(on, str):
        return {on: None}, name
    if isinstance(on, list):  # of anything, for it may be lists of lists of lists by aliases
        return {event: None for event in on if isinstance(event, str)}, name
    return (on, name) if isinstance(on, dict) else (None, name)


def _on_branch(filters: Any, branch: str) -> str:
    """ "runs", "may run", or "" where its filters leave the branch out."""
    if not isinstance(filters, dict):
        return "runs"
    if "branches" not in filters and "branches-ignore" not in filters:
        if "tags" in filters or "tags-ignore" in filters:
            return ""  # then it is for tags alone
        return "may run" if filters.keys() & {"paths", "paths-ignore"} else "runs"
    matched = _matches(filters.get("branches", ["**"]), branch)
    ignored = _matches(filters.get("branches-ignore", []), branch)
    if matched is False or ignored is True:
        return ""
    is_sure = matched is not None and ignored is False and not filters.keys() & {"paths", "paths-ignore"}
    return "runs" if is_sure else "may run"


def _on_pull(filters: Any) -> str:
    return "may run" if isinstance(filters, dict) and filters else "runs"


def _matches(patterns: Any, branch: str) -> bool | None:
    """Whether the last pattern that fits lets the branch in; None where one is not a plain pattern."""
    listed: Iterable[Any] = patterns if isinstance(patterns, list) else [patterns]
    is_in: bool = False
    for pattern in listed:
        if not isinstance(pattern, str) or not _PLAIN_PATTERN.fullmatch(pattern):
            return None
        parts = re.split(r"(\*\*|\*)", pattern.removeprefix("!"))
        glob = "".join({"**": ".*", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts)
        if re.fullmatch(glob, branch):
            is_in = not pattern.startswith("!")
    return is_in
