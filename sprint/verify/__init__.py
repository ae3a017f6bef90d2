"""The project's own checks: which there are, how they fare, and what a change did to them."""

from sprint.verify.compare import compare
from sprint.verify.find import find_checks
from sprint.verify.run import UNWATCHED, Watching, run_checks, run_setup

__all__ = ["UNWATCHED", "Watching", "compare", "find_checks", "run_checks", "run_setup"]
