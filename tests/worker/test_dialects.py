"""Calls that models write as text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sprint.domain import Ending
from sprint.worker.local.dialects import find, without_thoughts
from tests.servers import replies
from tests.worker.conftest import Bench

ARGUMENTS = {"path": "a.txt", "content": "x = {'a': 1}\n  y\n"}
JSON = json.dumps({"name": "write_file", "arguments": ARGUMENTS})
BAR, LOW = "\uff5c", "\u2581"

VALUES = json.dumps(ARGUMENTS)
BEGIN, SEP, END = (f"<{BAR}tool{LOW}{mark}{BAR}>" for mark in (f"call{LOW}begin", "sep", f"call{LOW}end"))
PYTHON = f"write_file(path='a.txt', content={ARGUMENTS['content']!r})"
API = {"tool_calls": [{"type": "function", "function": {"name": "write_file", "arguments": VALUES}}]}

CLEAR = {
    "hermes": f"<tool_call>\n{JSON}\n</tool_call>",
    "hermes, never closed": f"I write it.\n<tool_call>\n{JSON}",
    "fence at the end": f"I write it:\n```json\n{JSON}\n```",
    "bare": JSON,
    "a list": f"[{JSON}]",
    "parameters": json.dumps({"name": "write_file", "parameters": ARGUMENTS}),
    "as the API has it": json.dumps(API),
    "llama function": f"<function=write_file>{VALUES}</function>",
    "llama token": f'<|python_tag|>{{"name": "write_file", "parameters": {VALUES}}}<|eom_id|>',
    "qwen coder": "<tool_call>\n<function=write_file>\n<parameter=path>\na.txt\n</parameter>\n"
    f"<parameter=content>\n{ARGUMENTS['content']}\n</parameter>\n</function>\n</tool_call>",
    "glm": "<tool_call>write_file\n<arg_key>path</arg_key>\n<arg_value>a.txt</arg_value>\n"
    f"<arg_key>content</arg_key>\n<arg_value>{ARGUMENTS['content']}</arg_value>\n</tool_call>",
    "invoke": '<invoke name="write_file"><parameter name="path">a.txt</parameter>'
    f'<parameter name="content">{ARGUMENTS["content"]}</parameter></invoke>',
    "mistral list": f"[TOOL_CALLS][{JSON}]",
    "mistral args": f"[TOOL_CALLS]write_file[ARGS]{VALUES}",
    "kimi": "<|tool_calls_section_begin|><|tool_call_begin|>functions.write_file:0"
    f"<|tool_call_argument_begin|>{VALUES}<|tool_call_end|><|tool_calls_section_end|>",
    "deepseek": f"{BEGIN}function{SEP}write_file\n```json\n{VALUES}\n```{END}",
    "deepseek 3.1": f"{BEGIN}write_file{SEP}{VALUES}{END}",
    "gemma": f"Now:\n```tool_code\nprint(default_api.{PYTHON})\n```",
    "llama 4": f"[{PYTHON}]",
}


@pytest.mark.parametrize("text", CLEAR.values(), ids=CLEAR.keys())
def test_a_clear_notation_is_a_call(text: str) -> None:
    found = find(text)
    assert found
    assert len(found) == 1
    assert found[0].name == "write_file"
    assert json.loads(found[0].arguments.removeprefix("```json\n").removesuffix("\n```")) == ARGUMENTS


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>\n{broken\n</tool_call>",
        '<tool_call>{"name": "rm_rf", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "run_command", "arguments": {"cmd": "ls"}}</tool_call>',
        f"```json\n{JSON}\n```\nThat is what one could call, or the other:\n```json\n{JSON}\n```",
        "```tool_code\nimport os\n```",
        "<function=run_command>",
        "[TOOL_CALLS]nonsense",
    ],
)
def test_what_is_unclear_is_no_call(text: str) -> None:
    assert find(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "I have changed `run_command` in tools.py.",
        "```python\nprint(1)\n```",
        '{"colour": "blue"}',
        "run_command",
        "f(x)",
        "[]",
        "Done.",
    ],
)
def test_plain_text_is_plain_text(text: str) -> None:
    assert find(text) is None


@pytest.mark.parametrize("text", ["[a" + ".a" * 900 + "()]", "print(a" + ".a" * 900 + "())", "[" * 5000])
def test_what_is_too_deep_is_plain_text(text: str) -> None:
    assert find(text) is None


def test_two_calls_keep_their_order() -> None:
    text = "".join(
        f'<tool_call>{{"name": "run_command", "arguments": {{"command": "{n}"}}}}</tool_call>' for n in "ab"
    )
    found = find(text)
    assert found
    assert [json.loads(call.arguments)["command"] for call in found] == ["a", "b"]


def test_thoughts_are_no_answer() -> None:
    assert without_thoughts("<think>a <tool_call></think>\nDone.") == "Done."
    assert without_thoughts("a thought</think>Done.") == "Done."
    assert without_thoughts("<think>never ended") == ""
    assert without_thoughts("Done.") == "Done."


DIALECTS = ["json-fence", "bare-json", "hermes", "function", "xml-parameters", "mistral"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_written_as_text_is_run(bench: Bench, dialect: str) -> None:
    write = replies.call_as_text(dialect, "write_file", {"path": "a.txt", "content": "hello"})
    result = bench.run([write, replies.finish()])
    assert result.ending is Ending.IMPLEMENTED
    assert bench.file("a.txt").read_text() == "hello"
    calls: list[dict[str, Any]] = bench.sent(1)[-2]["tool_calls"]
    assert calls[0]["function"]["name"] == "write_file"
    assert bench.sent(1)[-1]["tool_call_id"] == calls[0]["id"]


def test_an_unclear_call_is_answered_with_the_right_way(bench: Bench) -> None:
    unclear = replies.say('<tool_call>{"name": "run_command", "arguments": </tool_call>')
    write = replies.call("write_file", {"path": "a.txt", "content": "hello"})
    assert bench.run([unclear, write, replies.finish()]).ending is Ending.IMPLEMENTED
    assert "Nothing was run" in bench.told(1)
    assert bench.run(lambda asked, number: unclear).ending is Ending.OFF_RAILS
