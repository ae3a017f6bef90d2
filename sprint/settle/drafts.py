"""Whether what a run made is proposed as a draft."""

from __future__ import annotations

from sprint.config import PublishConfig
from sprint.domain import ProofVerdict, Run
from sprint.settle.prove import UNFINISHED


def is_draft(publishing: PublishConfig, run: Run) -> bool:
    is_unfinished = run.result is not None and run.result.ending in UNFINISHED
    is_unproven = run.proof is not None and run.proof.verdict is ProofVerdict.UNPROVEN
    return publishing.draft or is_unfinished or (is_unproven and publishing.unproven == "draft")
