"""What is kept of a conversation, wherever its writer was killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sprint.domain import Usage
from sprint.errors import SprintError
from sprint.worker.local import conversation, window
from sprint.worker.local.conversation import Conversation


def turn(talk: Conversation, number: int) -> None:
    call = {"id": str(number), "type": "function", "function": {"name": "run_command", "arguments": "{}"}}
    talk.messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
    talk.messages.append({"role": "tool", "tool_call_id": str(number), "content": f"résult {number}" * 200})
    talk.usage = Usage(turns=number, prompt_tokens=10 * number)
    talk.seconds = 1.5 * number


def lasting(talk: Conversation) -> dict[str, object]:
    return {name: getattr(talk, name) for name in talk.__struct_fields__ if name != "at"}


def loaded(folder: Path) -> dict[str, object]:
    talk = conversation.load(folder)
    assert talk is not None
    return lasting(talk)


def test_a_turn_adds_only_what_is_new_and_any_half_of_a_line_is_that_turn_alone(tmp_path: Path) -> None:
    talk = conversation.begun("system", "user")
    path = tmp_path / conversation.NAME
    states: list[tuple[int, str]] = []
    for number in range(4):
        if number:
            turn(talk, number)
        if number == 2:
            talk.tell("a message that joins the last one")
        talk.save(tmp_path)
        states.append((path.stat().st_size, json.dumps(lasting(talk), default=repr)))
    sizes = [size for size, _ in states]
    assert sizes[3] - sizes[2] < sizes[2] - sizes[1] + 100, "each line holds its own turn"
    whole = path.read_bytes()
    for cut in range(sizes[0], len(whole) + 1):
        path.write_bytes(whole[:cut])
        # Its last byte is the line's end: without that it is whole, too.
        expected = [state for size, state in states if size - 1 <= cut][-1]
        assert json.dumps(loaded(tmp_path), default=repr) == expected, cut
    path.write_bytes(whole[: sizes[2] + 7])
    again = conversation.load(tmp_path)
    assert again is not None
    again.tell("you were interrupted")
    again.save(tmp_path)
    turn(again, 3)
    again.save(tmp_path)
    assert loaded(tmp_path) == lasting(again)


def test_what_was_shortened_replaces_what_was_kept(tmp_path: Path) -> None:
    talk = conversation.begun("system", "user")
    for number in range(1, 9):
        turn(talk, number)
        talk.save(tmp_path)
    before = (tmp_path / conversation.NAME).stat().st_size
    talk.window = 2_000
    assert window.shorten(talk, 0)
    talk.save(tmp_path)
    assert loaded(tmp_path) == lasting(talk)
    assert (tmp_path / conversation.NAME).stat().st_size < before


def test_a_run_that_an_older_version_began_goes_on(tmp_path: Path) -> None:
    usage = {"turns": 3, "prompt_tokens": 30, "cached_tokens": 0, "completion_tokens": 3, "cost_usd": None}
    old = {"messages": [{"role": "user", "content": "fix it"}], "usage": usage, "known_usd": 0.5, "window": 9}
    (tmp_path / "messages.json").write_text(json.dumps(old))
    talk = conversation.load(tmp_path)
    assert talk is not None
    assert (talk.messages, talk.usage.turns, talk.known_usd, talk.window) == (old["messages"], 3, 0.5, 9)
    turn(talk, 4)
    talk.save(tmp_path)
    assert loaded(tmp_path) == lasting(talk)


def test_what_never_began_and_what_cannot_be_read(tmp_path: Path) -> None:
    assert conversation.load(tmp_path) is None
    (tmp_path / conversation.NAME).write_text('{"messages": 3}\n')
    with pytest.raises(SprintError, match=r"cannot read .*; remove the run's folder"):
        conversation.load(tmp_path)
