"""What of a repository the model may read through us."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from sprint.errors import ForgeError

# What the model may read. Left out on purpose: the repository itself and its contents (GitHub puts download
# tokens there), hooks, keys, secrets and everything else that administrators see.
READABLE = frozenset(
    {"branches", "comments", "commits", "compare", "issues", "labels", "milestones", "pulls", "releases"}
    | {"statuses", "tags"}
)
# `sudo` makes Gitea act as another user.
_REFUSED_PARAMS = frozenset({"sudo", "token", "access_token"})
# A colon names another repository's branch where two are compared.
_NO_PATH = re.compile(r"[\x00-\x1f\x7f%?#:\\\ud800-\udfff]|//|^/")


def readable(path: str, params: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The path below the repository's own API address, quoted, and the query, fit to be sent.

    Raises ForgeError for anything that leaves the repository or is not to be read.
    """
    segments = path.split("/")
    if _NO_PATH.search(path) or not {"", ".", ".."}.isdisjoint(segments):
        raise ForgeError(f'"{path[:80]!a}" is no path below the repository: write it like issues/3')
    if segments[0] not in READABLE:
        raise ForgeError(f"{segments[0][:40]!a} cannot be read here: only {', '.join(sorted(READABLE))}")
    if segments[-1].endswith((".diff", ".patch")):
        raise ForgeError(f"{segments[-1][:40]!a} is no JSON: read pulls/N/files, or use git in the workspace")
    if refused := _REFUSED_PARAMS.intersection(key.lower() for key in params):
        raise ForgeError(f"the parameter {min(refused)} is not allowed")
    query = {key: value.encode("utf-8", "replace").decode() for key, value in params.items()}
    quoted = "/".join(quote(segment, safe="") for segment in segments)
    return quoted, query
