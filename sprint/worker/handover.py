"""What the two files say by which an agent or a command hands its work over."""

from __future__ import annotations

import re

from sprint.domain import Ending, WorkerResult
from sprint.prompts import ALREADY_FIXED

_FIRST_LINE = re.compile(rf"\W*{ALREADY_FIXED}\W+([0-9a-f]{{7,64}})\W*", re.IGNORECASE)


def result(summary: str, question: str) -> WorkerResult:
    """A question wins. A summary that begins as `prompts.agent_prompt` says names the commit of a fix."""
    if question:
        return WorkerResult(Ending.QUESTION, summary, question)
    first, _, rest = summary.partition("\n")
    if fixed := _FIRST_LINE.fullmatch(first):
        return WorkerResult(Ending.ALREADY_FIXED, rest.strip(), commit=fixed[1])
    return WorkerResult(Ending.IMPLEMENTED, summary)
