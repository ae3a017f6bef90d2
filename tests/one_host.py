"""A machine that ticks in the test's own process."""

from __future__ import annotations

from typing import Any

from sprint.config import Config, load
from sprint.domain import Run
from sprint.run_command import Options, run_command
from sprint.runs import RunStore
from tests.around import around
from tests.site import Site
from tests.widgets import REPO


class Host:
    """With a configuration and results of its own."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.results = site.path / "results"
        self.store = RunStore(self.results)

    def config(self) -> Config:
        return load(self.site.path / "sprint.yaml", around(self.site.path))

    def tick(self, **options: Any) -> int:
        return run_command(
            self.config(), Options(repos=(REPO,), **options), around(self.site.path, self.site.environ)
        )

    def run(self) -> Run:
        """The newest one; by their ids, two of one second have no order."""
        return max(self.store.all(), key=lambda run: run.started_at)

    def outcomes(self) -> list[str]:
        return [row["outcome"] for row in self.site.rows()]
