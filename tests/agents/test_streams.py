"""What the real programs printed once, read again: nobody needs to have them for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprint import transcript
from sprint.domain import Usage
from sprint.sprite.detector import Silence
from sprint.worker.agents import claude, codex, hermes, kimi_code, opencode
from sprint.worker.agents.agent_kind import AgentKind
from sprint.worker.agents.story import Story

STREAMS = sorted((Path(__file__).parent / "streams").glob("*.jsonl"))
KINDS: dict[str, AgentKind] = {
    kind.NAME: kind
    for kind in (claude, codex, hermes, kimi_code, opencode)  # type: ignore[attr-defined]
}


class NoWay:
    """Nothing passes through it."""

    base_url = key = ""
    model = "scripted"
    network = False
    env: dict[str, str] = {}  # noqa: RUF012
    read_only: dict[Path, str] = {}  # noqa: RUF012

    def wrap(self, argv: list[str]) -> list[str]:
        return argv

    def calls(self) -> int:
        return 0

    def usage(self) -> Usage:
        return Usage()

    def over(self) -> str:
        return ""

    def fault(self) -> None:
        return None


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_a_good_run_is_read_to_its_end(path: Path, tmp_path: Path) -> None:
    """A look, a command that fails, the fix, last words; and nothing in it looks off the rails."""
    kind = KINDS[path.stem.rsplit("-", 1)[0]]
    sessions: list[str] = []
    story = Story(tmp_path, kind, NoWay(), Silence(), sessions.append)
    for line in path.read_bytes().splitlines():
        story.line(line)
    story.close("", "", 0)
    events = list(transcript.read(tmp_path))
    said = [event for event in events if event["event"] == "assistant"]
    tools = [event for event in events if event["event"] == "tool"]
    assert sessions
    assert [tool["exit_code"] == 1 for tool in tools] == [False, True, False]
    assert "n + n + 1" in tools[0]["text"]
    assert [call["name"] for turn in said for call in turn["tool_calls"]] == [tool["name"] for tool in tools]
    assert said[-1]["content"] == "Fixed the doubling."
    assert story.ended is not None
    assert not story.ended.failure
    assert story.stop == ""


def test_there_are_streams() -> None:
    assert {path.stem.rsplit("-", 1)[0] for path in STREAMS} >= {"claude", "codex"}


def test_each_answer_is_a_turn_of_an_agent_that_tells_no_steps(tmp_path: Path) -> None:
    """Also where a fast model gives several between two looks: turns are limited."""
    way = NoWay()
    story = Story(tmp_path, hermes, way, Silence(), lambda _session: None)  # type: ignore[arg-type]
    for turns in (5, 6):
        way.usage = lambda turns=turns: Usage(turns, 100 * turns, 0, 10 * turns)  # type: ignore[method-assign, misc]
        story.tick()
    story.close("", "", 0)
    used, _ = transcript.usage(tmp_path)
    assert (story.turns, used.turns, used.prompt_tokens, used.completion_tokens) == (6, 6, 600, 60)


class Way(NoWay):
    """What passed through it is told by the test."""

    def __init__(self) -> None:
        self.used = Usage()

    def usage(self) -> Usage:
        return self.used


def test_answers_that_came_at_once_are_turns_whose_cost_is_known(tmp_path: Path) -> None:
    """hermes tells no steps: a model may have answered twice before anybody looks for the first time."""
    way = Way()
    story = Story(tmp_path, hermes, way, Silence(), lambda session: None)
    way.used = Usage(turns=2, prompt_tokens=2000, completion_tokens=34, cost_usd=0.002)
    story.tick()
    way.used = Usage(turns=3, prompt_tokens=3000, completion_tokens=51, cost_usd=0.003)
    story.tick()
    story.close("", "", 0)
    told, _ = transcript.usage(tmp_path)
    assert told == Usage(turns=3, prompt_tokens=3000, completion_tokens=51, cost_usd=pytest.approx(0.003))
