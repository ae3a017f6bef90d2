"""The real programs, each through a whole tick to a pull request, and through what a model does wrong."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint.gateway.models.route import TRIES
from tests.agents.bed import Bed, shell
from tests.agents.model import ScriptedModel
from tests.servers.replies import Reply, call, say
from tests.widgets import CHECK, REPO

# With the check behind it, as a good agent has: else it is shown its work once more before it hands it in.
FIX = f"sed -i 's/n + n + 1/n + n/' widgets.py && {CHECK} && echo Fixed it. >../tmp/handover/summary.md"

THE_THREE = pytest.mark.parametrize("bed", ["claude", "codex", "hermes"], indirect=True)


def fixing(asked: dict[str, Any], number: int) -> Reply:
    """A look, a command that fails, the fix, and last words."""
    commands = ("cat widgets.py", "python3 -c 'import widgets; assert widgets.double(2) == 4'", FIX)
    return shell(asked, commands[number]) if number < len(commands) else say("Fixed the doubling.")


def test_a_whole_tick_to_a_pull_request(bed: Bed, serve: Callable[..., ScriptedModel]) -> None:
    model = serve(fixing)
    bed.use(model)
    assert bed.tick() == 0
    (row,) = bed.site.rows()
    assert (row["outcome"], row["worker"], row["model"]) == ("pr_opened", "careful", "scripted"), row
    assert row["worker_version"]
    assert bed.counted(row) == (model.sent.prompt, model.sent.completion)
    assert float(row["cost_usd"]) == pytest.approx((model.sent.prompt + 2 * model.sent.completion) / 1e6)
    assert "Fixed it." in bed.forge.pulls(REPO)[0].body
    if folder := os.environ.get("RECORD_STREAMS"):  # for test_streams.py
        log = bed.site.path / "results" / "runs" / row["run_id"] / "agent.log"
        shutil.copyfile(log, Path(folder) / f"{bed.kind}-{row['worker_version']}.log")


ERROR = json.dumps({"error": {"type": "server_error", "message": "not now"}})
LONG = "I will now look at all of it. " * 20
GARBAGE = Reply(status=200, body="<html>Welcome to the captive portal</html>")
CUT = say(LONG, keep=4)
FAULTS = {  # a status is refused by the gateway whichever it is; its own tests have them all
    "refusals": [Reply(hang=60), Reply(status=429, body=ERROR)],
    "answers that break off": [*[GARBAGE] * TRIES, CUT, say(LONG, keep=4, then="silence"), CUT],
}


def failing(faults: list[Reply]) -> Callable[[dict[str, Any], int], Reply]:
    """One after another while the agent tries again, the last for ever. Who after a cut stream asks for an
    answer in one piece has it, and goes on to the next fault."""

    def reply(asked: dict[str, Any], number: int) -> Reply:
        if len(faults) > 1 and not asked.get("stream"):
            return shell(asked, "ls")
        return faults.pop(0) if len(faults) > 1 else faults[0]

    return reply


@THE_THREE
def test_what_a_model_does_wrong_costs_no_attempt(bed: Bed, serve: Callable[..., ScriptedModel]) -> None:
    """One run through every fault, a tick for each kind: it rests, and ends in one row, counted right."""
    replies: dict[str, Any] = {}
    model = serve(lambda asked, number: replies["now"](asked, number))
    bed.use(model)
    for what, kinds in FAULTS.items():
        faults = list(kinds)
        replies["now"] = failing(faults)
        hangs = any(fault.hang for fault in faults)
        bed.limit(first_token_seconds=2.0 if hangs else 60.0, silence_seconds=60.0 if hangs else 1.0)
        assert bed.tick() == 5, what
        assert len(faults) == 1, (what, "it did not come to the last one")
        assert bed.site.rows() == [], what
        (run,) = bed.site.runs()
        assert run["paused_since"], what
        assert bed.left_over(run["uid"]) == "", what
        bed.forget_health()
    numbers = itertools.count()
    replies["now"] = lambda asked, number: fixing(asked, next(numbers))
    assert bed.tick() == 0
    (row,) = bed.site.rows()
    assert (row["outcome"], row["attempt"]) == ("pr_opened", "1"), row
    told, guessed = bed.metered(row)
    assert told == (model.sent.prompt, model.sent.completion)
    assert bed.counted(row) == (told[0] + guessed[0], told[1] + guessed[1])
    assert len(bed.forge.pulls(REPO)) == 1


@THE_THREE
def test_what_a_model_says_wrong_is_the_runs_own_end(bed: Bed, serve: Callable[..., ScriptedModel]) -> None:
    """Arguments that are no JSON, of which nothing comes; then, shown that, one call for ever."""

    def broken(asked: dict[str, Any], number: int) -> Reply:
        if number == 3:
            return say("It is all done.")
        good = shell(asked, "ls").tool_calls[0]
        return call(good.name, good.arguments if number > 3 else good.arguments[:-4])

    model = serve(broken)
    bed.use(model)
    bed.limit(turns=12)
    assert bed.tick() == 0
    (row,) = bed.site.rows()
    assert row["outcome"] == "no_change", row
    events = bed.site.transcript(row["run_id"])
    told = [event["text"] for event in events if event["event"] == "user"]
    assert len(told) == 2, told
    assert told[1].startswith("Nothing has changed")
    endings = [event["ending"] for event in events if event["event"] == "end"]
    assert endings in (["implemented", "off_rails"], ["implemented", "limit"]), endings
    assert 4 < len(model.asked) < 40
    counted, guessed = bed.metered(row)
    assert bed.is_all_metered(row, model), (counted, guessed, model.sent)
    assert bed.counted(row) == (counted[0] + guessed[0], counted[1] + guessed[1])
    assert bed.left_over(bed.site.runs()[0]["uid"]) == ""
