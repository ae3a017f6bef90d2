"""The real programs, each through a whole tick to a pull request, and through what a model does wrong."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sprint.config import load
from sprint.gateway.models import route as routes
from sprint.gateway.models.route import TRIES
from sprint.run_command import Options, run_command
from tests.agents.model import ScriptedModel
from tests.around import around
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, call, say
from tests.site import Site
from tests.widgets import CHECK, FILES, REPO

# With the check behind it, as a good agent has: else it is shown its work once more before it hands it in.
FIX = f"sed -i 's/n + n + 1/n + n/' widgets.py && {CHECK} && echo Fixed it. >../tmp/handover/summary.md"
AGENTS = {
    "claude": "claude",
    "codex": "codex",
    "hermes": "hermes",
    "kimi-code": "kimi",
    "opencode": "opencode",
}
_SHELLS = {
    "Bash": "command",
    "shell": "command",
    "shell_command": "command",
    "exec_command": "cmd",
    "terminal": "command",
    "bash": "command",
}

THE_THREE = pytest.mark.parametrize("bed", ["claude", "codex", "hermes"], indirect=True)


def shell(asked: dict[str, Any], command: str) -> Reply:
    """A call of whatever runs commands in the agent that asks."""
    for tool in asked["tools"]:
        name = tool.get("name") or tool.get("function", {}).get("name")
        if name in _SHELLS:
            words: Any = ["bash", "-lc", command] if name == "shell" else command
            more = {"description": "x"} if name.lower() == "bash" else {}
            return call(name, {_SHELLS[name]: words, **more})
    raise AssertionError(f"no tool runs commands: {json.dumps(asked['tools'])[:2000]}")


def fixing(asked: dict[str, Any], number: int) -> Reply:
    """A look, a command that fails, the fix, and last words."""
    commands = ("cat widgets.py", "python3 -c 'import widgets; assert widgets.double(2) == 4'", FIX)
    return shell(asked, commands[number]) if number < len(commands) else say("Fixed the doubling.")


class Bed:
    """One repository, one issue, one agent, ticks in this process, the model behind the gateway."""

    def __init__(self, kind: str, site: Site, forge: DemoForge) -> None:
        self.kind = kind
        self.site = site
        self.forge = forge

    def use(self, model: ScriptedModel) -> None:
        (self.site.path / "model.key").write_text(model.key)
        self.site.settings["model"]["base_url"] = f"{model.url}/v1"
        self.site.write()

    def limit(self, **limits: float) -> None:
        self.site.settings["defaults"]["limits"].update(limits)
        self.site.write()

    def forget_health(self) -> None:
        """As if so much time had passed that the model is asked again."""
        shutil.rmtree(self.site.path / "results" / "health", ignore_errors=True)

    def counted(self, row: Mapping[str, str]) -> tuple[int, int]:
        return int(row["prompt_tokens"]), int(row["completion_tokens"])

    def metered(self, row: Mapping[str, str]) -> tuple[tuple[int, int], tuple[int, int]]:
        """What the server told of its tokens, and what was guessed where the agent was ended in an answer."""
        path = self.site.path / "results" / "runs" / row["run_id"] / "model.jsonl"
        answers = [json.loads(line) for line in path.read_text().splitlines()]
        sums = [
            tuple(
                sum(one[key] for one in answers if one["estimated"] is guess)
                for key in ("prompt", "completion")
            )
            for guess in (False, True)
        ]
        return sums[0], sums[1]  # type: ignore[return-value]

    def is_all_metered(self, row: Mapping[str, str], model: ScriptedModel) -> bool:
        """Whether each answer that the server sent was counted as it told, or guessed: the last one may have
        been sent when the agent was ended, and not have been read."""
        (prompt, completion), guessed = self.metered(row)
        answers, sent = model.sent.answers, (model.sent.prompt, model.sent.completion)
        last = (sent[0] // answers, sent[1] // answers)  # all are of one size
        without_last = (sent[0] - last[0], sent[1] - last[1])
        return (prompt, completion) in ((sent, without_last) if guessed[0] else (sent,))

    def left_over(self, uid: int | None) -> str:
        """The processes of the agent's user that are still there; a runner that is not root has no such."""
        if uid is None:
            return ""
        listed = subprocess.run(
            ["ps", "-o", "stat=,args=", "-u", str(uid)], capture_output=True, text=True
        ).stdout.splitlines()
        return "\n".join(line for line in listed if not line.startswith("Z"))

    def tick(self) -> int:
        path = self.site.path
        config = load(path / "sprint.yaml", around(path))
        return run_command(config, Options(repos=(REPO,)), around(path, self.site.environ))


@pytest.fixture(params=AGENTS)
def bed(
    request: pytest.FixtureRequest,
    program: Callable[[str], str],
    gitea: DemoForge,
    workspaces: Path,
    model_server: Callable[..., DemoModel],
    monkeypatch: pytest.MonkeyPatch,
) -> Bed:
    monkeypatch.setattr(routes, "BACKOFF_SECONDS", 0.01)
    kind = request.param
    found = program(AGENTS[kind])
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    site = Site(
        workspaces / "site",
        gitea,
        model_server([]),
        workers={"careful": {"kind": kind, "program": found}},
        repos=[{"name": REPO, "checks": [CHECK], "worker": "careful"}],
        limits={"minutes": 15},
    )
    return Bed(kind, site, gitea)


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
