"""The project's own checks: which there are, how they fare, and what a change did to them."""

from sprint.verify.compare import build_broken, compare, not_run
from sprint.verify.run import UNWATCHED, Watching, run_checks, run_setup

__all__ = ["UNWATCHED", "Watching", "build_broken", "compare", "not_run", "run_checks", "run_setup"]
