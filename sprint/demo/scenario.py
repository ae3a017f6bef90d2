"""The demo's issues, the script that its model plays, and a configuration for both."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from sprint import files
from sprint.demo import scripted_agent
from sprint.demo.demo_gitea import DemoGitea
from sprint.demo.model import Reply, ScriptedModel, ToolCall
from sprint.demo.project import CHECK, RIGHT_LINE, WRONG_LINE, commits
from sprint.demo.store import now

REPO = "demo/stocktake"
EPIC = "Epic: count several warehouses"
BUG = "A discount of 10 percent takes ten cents off"
FEATURE = "Report the stock as JSON"

_EPIC_BODY = """\
Everything that it takes to count more than one warehouse:

- [ ] shelves know their warehouse
- [ ] reports by warehouse
- [ ] moving stock between warehouses
"""

_BUG_BODY = """\
`line_total(3, 1000, discount=10)` should be 2700: ten per cent off 3000.
It answers 2990, as if the discount were cents. The docstring says that it is a percentage.
"""

_FEATURE_BODY = """\
The shop's page wants to read the stock. Please add `as_json(lines)` to `stocktake/report.py`: an object with
`lines` (name, quantity, cents and discount of each) and `total`, in whole cents.
"""


def build(forge: DemoGitea) -> None:
    """Put the repository and its three issues on a forge: an epic, a bug, and a later feature."""
    repo = forge.add_repo(REPO, commits=commits())
    for days, title, body, label in (
        (60, EPIC, _EPIC_BODY, "epic"),
        (40, BUG, _BUG_BODY, "bug"),
        (10, FEATURE, _FEATURE_BODY, "feature"),
    ):
        at = now() - timedelta(days=days)
        forge.store.add_issue(repo, title, body, "ada", created_at=at, labels=[label])


_BUG_TEST = """\
    def test_a_discount_is_a_percentage(self):
        self.assertEqual(line_total(3, 1000, discount=10), 2700)

    def test_tax_is_rounded_half_up(self):
"""

_AS_JSON = '''\
def as_json(lines: list[Line]) -> str:
    """The lines and their total, for other programs."""
    return json.dumps({"lines": [line._asdict() for line in lines], "total": total(lines)})


def as_text('''

_FEATURE_TEST = """\
import json
import unittest

from stocktake.report import Line, as_json


class AsJson(unittest.TestCase):
    def test_has_every_line_and_the_total(self):
        read = json.loads(as_json([Line("flour", 3, 250), Line("salt", 1, 90)]))
        first = {"name": "flour", "quantity": 3, "cents": 250, "discount": 0}
        self.assertEqual(read["lines"][0], first)
        self.assertEqual(read["total"], 840)

    def test_of_nothing_is_nothing(self):
        self.assertEqual(json.loads(as_json([])), {"lines": [], "total": 0})
"""

_IMPORT = "from typing import NamedTuple\n"
_TAX_TEST = "    def test_tax_is_rounded_half_up(self):\n"
_PRICES = "stocktake/prices.py"
_REPORT = "stocktake/report.py"

Step = tuple[str, str, Mapping[str, Any]]  # what the model says, the tool, its arguments


def _edit(text: str, path: str, old: str, new: str) -> Step:
    return text, "edit_file", {"path": path, "old": old, "new": new}


_BLAME = f"git log --oneline && git blame -L '/def line_total/,+3' {_PRICES}"
_BUG_STEPS: Sequence[Step] = (
    ("Is it still so, and since when?", "run_command", {"command": _BLAME}),
    ("The discount came with the second commit.", "read_file", {"path": _PRICES}),
    _edit("First a test that shows it.", "tests/test_prices.py", _TAX_TEST, _BUG_TEST),
    ("It has to fail now.", "run_command", {"command": CHECK}),
    _edit("It fails as the issue says. Now the fix.", _PRICES, WRONG_LINE, RIGHT_LINE),
    ("All tests again.", "run_command", {"command": CHECK}),
)
_BUG_SUMMARY = (
    "`line_total` took the discount off as cents. It is a percentage now, as its docstring says, rounded "
    "half up as taxes are; a test holds the issue's example."
)

_GREP = "git log --oneline --all && git grep -n -i json || true"
_FEATURE_STEPS: Sequence[Step] = (
    ("Does anything of the kind exist already?", "run_command", {"command": _GREP}),
    ("Nothing yet.", "read_file", {"path": _REPORT}),
    ("The test first.", "write_file", {"path": "tests/test_as_json.py", "content": _FEATURE_TEST}),
    _edit("The import.", _REPORT, _IMPORT, f"import json\n{_IMPORT}"),
    _edit("The function, before the one for people.", _REPORT, "def as_text(", _AS_JSON),
    ("All tests.", "run_command", {"command": CHECK}),
)
_FEATURE_SUMMARY = (
    "`as_json(lines)` gives the lines and their total in whole cents, with tests for some lines and none."
)

_PLAYS: Mapping[str, tuple[Sequence[Step], str]] = {
    BUG: (_BUG_STEPS, _BUG_SUMMARY),
    FEATURE: (_FEATURE_STEPS, _FEATURE_SUMMARY),
}


def policy(request: Mapping[str, Any], _number: int) -> Reply:
    """What the scripted model does next, by what the conversation holds so far."""
    if question := answer_to_question(request):
        return question
    messages = request["messages"]
    asked = "\n".join(_text(message) for message in messages if message["role"] == "user")
    play = next((play for title, play in _PLAYS.items() if title in asked), None)
    if play is None:
        return _finish("question", "I know two issues only.", question="Which of the demo's issues is this?")
    steps, summary = play
    done = sum(1 for message in messages if message["role"] == "assistant" and message.get("tool_calls"))
    if done < len(steps):
        return _call(*steps[done])
    results = [_text(message) for message in messages if message["role"] == "tool"]
    # Once more after it has seen what a reviewer would see.
    if done <= len(steps) + 1 and re.search(r"\bOK\b", results[len(steps) - 1]):
        return _finish("implemented", summary)
    return _finish("question", "The tests do not pass.", question="The tests fail in a way I did not expect.")


def answer_to_question(request: Mapping[str, Any]) -> Reply | None:
    """The call that the tiny question before a claim asks for; None for any other request."""
    tools = [tool["function"]["name"] for tool in request.get("tools") or ()]
    number = re.search(r"number (\d+)", _text(request["messages"][-1]))
    return _call("", tools[0], {"number": int(number[1])}) if number and tools == ["report_number"] else None


def _call(text: str, tool: str, arguments: Mapping[str, Any]) -> Reply:
    return Reply(text, (ToolCall(tool, json.dumps(arguments)),))


def _finish(status: str, summary: str, **more: str) -> Reply:
    return _call("", "finish", {"status": status, "summary": summary, **more})


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content)


def write_config(
    folder: Path, forge: DemoGitea, model: ScriptedModel, workspaces: Path, *, on_sprite: bool = False
) -> Path:
    """Write sprint.yaml and, beside it, the token and the key that it names; returns its path."""
    document: dict[str, Any] = {
        "forges": {"demo": {"kind": forge.kind, "url": forge.url, "token_file": "forge.token"}},
        "model": {
            "name": model.name,
            "base_url": model.base_url,
            "api_key_file": "model.key",
            "price": {"input": 0.45, "cached": 0.05, "output": 1.80},
        },
        "defaults": {"forge": "demo", "checks": [CHECK]},
        "repos": [REPO],
        "paths": {"results": "results", "cache": "cache", "workspaces": str(workspaces)},
    }
    if on_sprite:
        agent = {"kind": "sprite", "agent": "command", "command": scripted_agent.command(_PLAYS)}
        document["backends"] = {"here": {"kind": "local", "path": "sprites"}}
        document["workers"] = {"far": {**agent, "sprites": ["bramble"]}}
        document["defaults"] = {"forge": "demo", "checks": [CHECK], "worker": "far"}
    for name, content in (
        ("forge.token", forge.token),
        ("model.key", model.key),
        ("sprint.yaml", yaml.safe_dump(document, sort_keys=False)),
    ):
        files.replace(folder / name, content.encode(), durable=False)
    return folder / "sprint.yaml"
