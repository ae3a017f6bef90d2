"""Issues and pull requests as Gitea's API has them, as far as it matters."""

from __future__ import annotations

from typing import Any

REPO = "octo/widgets"
AT = "2026-01-02T03:04:05+02:00"


def issue(number: int, **more: Any) -> dict[str, Any]:
    return {"number": number, "title": f"Issue {number}", "created_at": AT, "updated_at": AT, **more}


def pull(number: int, **more: Any) -> dict[str, Any]:
    branches = {
        "head": {"ref": "feature", "label": "feature", "sha": "abc", "repo": {"full_name": REPO}},
        "base": {"ref": "main", "label": "main", "repo": {"full_name": REPO}},
    }
    return {"number": number, "title": "t", "created_at": AT, "state": "open", **branches, **more}
