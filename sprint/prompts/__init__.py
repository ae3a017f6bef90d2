"""Renders prompts/: everything that a model or a person is told.

Text of strangers, models and checks is cleaned here before it gets into a template, so that a template can
put in whatever it is given. For a model it is fenced with a nonce; for a forge it is made inert.
"""

from sprint.prompts.for_people import (
    COMMENT_MARKER,
    comment,
    comment_marker,
    commit_message,
    pull_request_body,
)
from sprint.prompts.for_workers import (
    ALREADY_FIXED,
    SharedRules,
    agent_prompt,
    checks_failed,
    loop_prompt,
    policy_refused,
    review,
    shared_rules,
    wrap_up,
)
from sprint.prompts.templates import render
from sprint.prompts.titles import pull_request_title

__all__ = [
    "ALREADY_FIXED",
    "COMMENT_MARKER",
    "SharedRules",
    "agent_prompt",
    "checks_failed",
    "comment",
    "comment_marker",
    "commit_message",
    "loop_prompt",
    "policy_refused",
    "pull_request_body",
    "pull_request_title",
    "render",
    "review",
    "shared_rules",
    "wrap_up",
]
