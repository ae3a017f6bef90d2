"""What the real servers say to pushes that they refuse, and the hook that says it."""

from __future__ import annotations

from pathlib import Path

HOOK = """#!/bin/sh
# Refuses what the forge's settings protect; the texts are those of the real servers.
case $REMOTE_USER in reader:*)
    printf '\\nerror:\\nerror: User permission denied for writing.\\nerror:\\n' >&2
    exit 1
esac
while read -r old new ref; do
    if grep -qxF "$ref" protected-refs 2>/dev/null; then
        cat protected-message >&2
        exit 1
    fi
    case $new in *[!0]*) ;; *) continue ;; esac
    [ -e no-workflows ] || continue
    base=$(git rev-parse --verify --quiet HEAD) || base=$(git hash-object -t tree /dev/null)
    if git diff --name-only "$base" "$new" | grep '^\\.github/workflows/' >/dev/null; then
        cat no-workflows >&2
        exit 1
    fi
done
"""

PROTECTED = {
    "gitea": "\nerror:\nerror: Not allowed to push to protected branch {branch}\nerror:\n",
    "github": "error: GH006: Protected branch update failed for refs/heads/{branch}.\n"
    "error: Changes must be made through a pull request.\n",
}
ARCHIVED = {
    "gitea": "This repo is archived. You can view files and clone it, but cannot push or open "
    "issues/pull-requests.",
    "github": "This repository was archived so it is read-only.",
}
NO_WORKFLOWS = (
    "refusing to allow a Personal Access Token to create or update workflow without `workflow` scope\n"
)


def protect(repo: Path, branch: str, message: str) -> None:
    with (repo / "protected-refs").open("a") as protected:
        protected.write(f"refs/heads/{branch}\n")
    (repo / "protected-message").write_text(message)
    install(repo)


def refuse_workflows(repo: Path) -> None:
    (repo / "no-workflows").write_text(NO_WORKFLOWS)
    install(repo)


def install(repo: Path) -> None:
    hook = repo / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(HOOK)
    hook.chmod(0o755)
