"""Ticks that are only asked for."""

from __future__ import annotations

from typing import Any

from sprint.serve.public_site import PublicSite
from sprint.serve.tick_starter import TickStarter


class Asked(TickStarter):
    """Only writes down what was asked."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked: list[tuple[str, ...]] = []

    def ask(self, *asked: str) -> None:
        self.asked.append(asked)


def asked_of(site: PublicSite) -> list[tuple[str, ...]]:
    assert isinstance(site.ticks, Asked)
    return site.ticks.asked
