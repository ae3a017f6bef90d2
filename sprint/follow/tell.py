"""Telling people, once, that a pull request of ours needs one of them, and that it no longer does."""

from __future__ import annotations

import logging

from sprint import policy, prompts
from sprint.context import Context
from sprint.domain import Claim, PullRequest
from sprint.errors import ForgeError

NEEDS_HUMAN = "needs-human"

_log = logging.getLogger(__name__)


def tell(context: Context, pull: PullRequest, claim: Claim, reason: str) -> None:
    """By a label, made where it is missing; where we may not, by a comment. Raises ForgeError."""
    forge, name = context.forge, context.repository.name
    if forge.add_label(name, pull.number, NEEDS_HUMAN):
        return
    known = [forge.token] if forge.token else []
    text = prompts.needs_human(claim, reason)
    marker = text.splitlines()[0]
    if any(marker in comment.body for comment in forge.comments(name, pull.number)):
        return
    try:
        forge.add_comment(name, pull.number, policy.public(text, known))
    except ForgeError as error:
        if error.status is None or error.status >= 500 or error.status == 429:
            raise
        _log.warning("pull request #%d: nobody could be told: %s", pull.number, error)


def untell(context: Context, pull: PullRequest) -> None:
    """It goes on: the label is taken off, to mean something when it is set again. Raises ForgeError."""
    if NEEDS_HUMAN in (label.casefold() for label in pull.labels):
        context.forge.remove_label(context.repository.name, pull.number, NEEDS_HUMAN)
