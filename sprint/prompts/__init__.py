"""Renders prompts/: everything that a model or a person is told.

Text of strangers, models and checks is cleaned here before it gets into a template, so that a template can
put in whatever it is given. For a model it is fenced with a nonce; for a forge it is made inert.
"""

from sprint.prompts.for_people import (
    COMMENT_MARKER,
    DASHBOARD_MARKER,
    DASHBOARD_TITLE,
    OWN_MARKER,
    DashboardFacts,
    PullRequestFacts,
    Receipt,
    comment,
    comment_marker,
    commit_message,
    dashboard,
    follow_up_answer,
    follow_up_marker,
    is_dashboard,
    needs_human,
    pull_request_body,
    renewed_body,
)
from sprint.prompts.for_workers import (
    ALREADY_FIXED,
    OwnWords,
    SharedRules,
    agent_prompt,
    checks_failed,
    loop_prompt,
    policy_refused,
    review,
    setup_failed,
    shared_rules,
    wrap_up,
)
from sprint.prompts.templates import keep_compiled, render
from sprint.prompts.titles import pull_request_title

__all__ = [
    "ALREADY_FIXED",
    "COMMENT_MARKER",
    "DASHBOARD_MARKER",
    "DASHBOARD_TITLE",
    "OWN_MARKER",
    "DashboardFacts",
    "OwnWords",
    "PullRequestFacts",
    "Receipt",
    "SharedRules",
    "agent_prompt",
    "checks_failed",
    "comment",
    "comment_marker",
    "commit_message",
    "dashboard",
    "follow_up_answer",
    "follow_up_marker",
    "is_dashboard",
    "keep_compiled",
    "loop_prompt",
    "needs_human",
    "policy_refused",
    "pull_request_body",
    "pull_request_title",
    "render",
    "renewed_body",
    "review",
    "setup_failed",
    "shared_rules",
    "wrap_up",
]
