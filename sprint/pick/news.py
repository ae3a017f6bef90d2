"""What counts as said by people at an issue, and whether it is new."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime

from sprint.domain import Comment, Issue
from sprint.prompts import COMMENT_MARKER


def issue_digest(issue: Issue, comments: Sequence[Comment]) -> str:
    """A digest of what people have said: title, body, and comments that are neither sprint's nor a bot's."""
    return _digest(issue, said(issue, comments))


def said(issue: Issue, comments: Sequence[Comment]) -> list[Comment]:
    """The comments that count, oldest first.

    Sprint's own are told by their marker, not by their author: its token is often a person's. Comments of
    people known to have no say (untrusted, and not the issue's author) do not count: otherwise a stranger
    could have a hopeless issue tried for ever.
    """
    return [
        comment
        for comment in sorted(comments, key=lambda comment: comment.id)
        if not comment.author.endswith("[bot]")
        and not comment.body.lstrip().startswith(COMMENT_MARKER)
        and (comment.trusted is not False or comment.author == issue.author)
    ]


def was_said_after(moment: datetime, issue: Issue, comments: Sequence[Comment], seen: str) -> bool:
    """Whether any of what makes the issue's digest another one than `seen` came after `moment`."""
    counted = said(issue, comments)
    for known in range(len(counted), -1, -1):
        if _digest(issue, counted[:known]) == seen:  # the others were added since
            return any(max(c.created_at, c.updated_at) > moment for c in counted[known:])
    # Title, text or an old comment was changed. Nobody tells when a text was: the issue itself moved then.
    return issue.updated_at > moment or any(comment.updated_at > moment for comment in counted)


def _digest(issue: Issue, counted: Sequence[Comment]) -> str:
    texts = [[comment.id, comment.author, comment.body] for comment in counted]
    return hashlib.sha256(json.dumps([issue.title, issue.body, texts]).encode()).hexdigest()
