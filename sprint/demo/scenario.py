"""The demo's issues, the script that its model plays, and a configuration for both."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from sprint.demo.forge import DemoForge
from sprint.demo.model import DemoModel
from sprint.demo.project import CHECK, RIGHT_LINE, WRONG_LINE, commits
from sprint.demo.replies import Reply, call, finish
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


def build(forge: DemoForge) -> None:
    """Put the repository and its three issues on a forge: an epic, a bug, and a later feature."""
    forge.add_user("ada")
    forge.add_repo(REPO, commits=commits(), private=True)
    forge.grant(REPO, "ada")
    for days, title, body, label in (
        (60, EPIC, _EPIC_BODY, "epic"),
        (40, BUG, _BUG_BODY, "bug"),
        (10, FEATURE, _FEATURE_BODY, "feature"),
    ):
        at = now() - timedelta(days=days)
        forge.add_issue(REPO, title, body, labels=[label], author="ada", created_at=at)


# --- the script --------------------------------------------------------------------------------

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


if __name__ == "__main__":
    unittest.main()
"""

_IMPORT = "from typing import NamedTuple\n"
_TAX_TEST = "    def test_tax_is_rounded_half_up(self):\n"
_PRICES = "stocktake/prices.py"
_REPORT = "stocktake/report.py"

Step = tuple[str, str, Mapping[str, Any]]  # what the model says, the tool, its arguments

_BUG_STEPS: Sequence[Step] = (
    (
        "Is it still so, and since when?",
        "run_command",
        {"command": f"git log --oneline && git blame -L '/def line_total/,+3' {_PRICES}"},
    ),
    ("The discount came with the second commit.", "read_file", {"path": _PRICES}),
    (
        "First a test that shows it.",
        "edit_file",
        {"path": "tests/test_prices.py", "old": _TAX_TEST, "new": _BUG_TEST},
    ),
    ("It has to fail now.", "run_command", {"command": CHECK}),
    (
        "It fails as the issue says. Now the fix.",
        "edit_file",
        {"path": _PRICES, "old": WRONG_LINE, "new": RIGHT_LINE},
    ),
    ("All tests again.", "run_command", {"command": CHECK}),
)
_BUG_SUMMARY = (
    "`line_total` took the discount off as cents. It is a percentage now, as its docstring says, rounded "
    "half up as taxes are; a test holds the issue's example."
)

_FEATURE_STEPS: Sequence[Step] = (
    (
        "Does anything of the kind exist already?",
        "run_command",
        {"command": "git log --oneline --all && git grep -n -i json || true"},
    ),
    ("Nothing yet.", "read_file", {"path": _REPORT}),
    (
        "The test first.",
        "write_file",
        {"path": "tests/test_as_json.py", "content": _FEATURE_TEST},
    ),
    (
        "The import.",
        "edit_file",
        {"path": _REPORT, "old": _IMPORT, "new": f"import json\n{_IMPORT}"},
    ),
    (
        "The function, before the one for people.",
        "edit_file",
        {"path": _REPORT, "old": "def as_text(", "new": _AS_JSON},
    ),
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
    messages = request["messages"]
    asked = "\n".join(_text(message) for message in messages if message["role"] == "user")
    play = next((play for title, play in _PLAYS.items() if title in asked), None)
    if play is None:
        return finish("question", "I know three issues only.", question="Which of the demo's issues is this?")
    steps, summary = play
    done = sum(1 for message in messages if message["role"] == "assistant" and message.get("tool_calls"))
    if done < len(steps):
        text, tool, arguments = steps[done]
        return call(tool, arguments, text)
    results = [_text(message) for message in messages if message["role"] == "tool"]
    if done == len(steps) and re.search(r"\bOK\b", results[-1]):
        return finish("implemented", summary)
    return finish("question", "The tests do not pass.", question="The tests fail in a way I did not expect.")


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content)


# --- the configuration -------------------------------------------------------------------------


def write_config(
    folder: Path,
    forge: DemoForge,
    model: DemoModel,
    repos: Sequence[str | Mapping[str, Any]] = (REPO,),
    **sections: Mapping[str, Any],
) -> Path:
    """Write sprint.yaml with its token files (0600) into a folder; returns its path.

    `sections` are merged over what it holds: `defaults={"limits": {"turns": 5}}`, `pick={...}` and so on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_secret(folder / "forge.token", forge.token)
    _write_secret(folder / "model.key", model.key)
    document: dict[str, Any] = {
        "forges": {"demo": {"kind": forge.kind, "url": forge.url, "token_file": "forge.token"}},
        "model": {
            "name": model.name,
            "base_url": model.base_url,
            "api_key_file": "model.key",
            "price": {"input": 0.45, "cached": 0.05, "output": 1.80},
        },
        "defaults": {"forge": "demo", "checks": [CHECK]},
        "repos": [name if isinstance(name, str) else dict(name) for name in repos],
        "paths": {"results": "results", "cache": "cache", "workspaces": "workspaces"},
    }
    for name, section in sections.items():
        document[name] = {**document.get(name, {}), **section}
    path = folder / "sprint.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def _write_secret(path: Path, secret: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secret + "\n")
