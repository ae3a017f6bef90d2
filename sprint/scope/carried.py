"""What an earlier attempt at an issue left on this host, for the next one to build on."""

from __future__ import annotations

from collections.abc import Sequence

from sprint.domain import Claim, Run, Verdict
from sprint.errors import SprintError
from sprint.runs import RunStore
from sprint.task import CarriedWork

_LARGEST = 6_000_000  # bytes of a patch


def earlier_work(store: RunStore, attempts: Sequence[Claim], run: Run) -> CarriedWork | None:
    """The patch of the newest attempt before `run` that has one here, and what failed on it.

    What became a pull request is not carried on: people have had their say on it.
    """
    for claim in reversed(attempts):
        try:
            earlier = store.load(claim.run)
            patch = (store.folder(claim.run) / "patch.diff").read_bytes()[:_LARGEST]
        except (SprintError, OSError):  # another host's, or swept away
            continue
        is_passed = earlier.outcome is not None and earlier.outcome.verdict is Verdict.PASSED
        if is_passed or earlier.pr_url or not patch:
            return None
        return CarriedWork(
            run_id=earlier.id,
            patch=patch.decode("utf-8", "surrogateescape"),
            is_applied=run.carried_from == earlier.id,
            scratch=earlier.left_out,
            regressions=earlier.proof.regressions if earlier.proof else (),
        )
    return None
