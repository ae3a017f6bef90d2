"""What the real servers say to pushes that they refuse, and the hook that says it."""

HOOK = """#!/bin/sh
# Refuses what the forge's settings protect; the texts are those of the real servers.
if [ -n "$FORGE_REFUSAL" ]; then
    printf '\\nerror:\\nerror: %s\\nerror:\\n' "$FORGE_REFUSAL" >&2
    exit 1
fi
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
