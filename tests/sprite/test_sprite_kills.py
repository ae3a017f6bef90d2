"""The runner SIGKILLed at each step of work on a sprite: one launch each, one row, one pull request."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from sprint.domain import Phase
from tests.killed_at import ON_SPRITES
from tests.one_host import Host
from tests.servers.forge import DemoForge
from tests.waiting import until_agents_ended, wait_until
from tests.widgets import CHECK, REPO

# Also runs the checks, so that it is shown no review; each start leaves a line.
FIX = (
    f"echo started >>../home/starts; sed -i 's/n + n + 1/n + n/' widgets.py && {CHECK} 2>/dev/null; "
    'echo Done. >"$SPRINT_SUMMARY"'
)


# In the order in which a run passes them; five deaths in a row would end it, by design.
BEGINNING = ("sprite taken", "sprite noted", "sent", "launched")
ENDING = ("fetched", "handed over", "given back")


@pytest.mark.parametrize("places", [BEGINNING, ENDING], ids=["to the launch", "from the end"])
def test_whatever_dies_the_next_tick_goes_on(
    make_host: Callable[..., Host], gitea: DemoForge, workspaces: Path, places: tuple[str, ...]
) -> None:
    """One run, whose runner dies after one step after the other."""
    assert {*BEGINNING, *ENDING} == ON_SPRITES
    host = make_host(command=FIX, repo={"limits": {"check_rounds": 0}})
    for place in places:

        def killed(place: str = place) -> bool:
            until_agents_ended(workspaces)
            return host.site.start("run", REPO, killed_at=place).wait() == -signal.SIGKILL

        assert wait_until(killed), place

    def ended() -> bool:
        until_agents_ended(workspaces)
        return host.site.sprint("run", REPO).returncode == 0 and host.outcomes() != []

    assert wait_until(ended)
    assert host.outcomes() == ["pr_opened"]
    assert host.run().phase is Phase.SETTLED
    assert len(gitea.pulls(REPO)) == 1
    sprite = workspaces / "sprites" / "sprint-1"
    starts = (sprite / "home/work/acme--widgets/home/starts").read_text().split()
    note = json.loads((host.store.folder(host.run().id) / "sprite.json").read_text())
    assert len(starts) == note["launch"] + 1, "each launch began once"
    assert not (sprite / ".sprint-reservation").exists()
