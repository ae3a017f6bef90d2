"""The project of most tests: a function that is wrong, a test that does not see it, and what mends it."""

from __future__ import annotations

from tests.servers.forge import DemoForge
from tests.servers.replies import call, finish

REPO = "acme/widgets"
FILES = {
    "widgets.py": "def double(n):\n    return n + n + 1\n",
    "test_widgets.py": (
        "import unittest\nfrom widgets import double\n\n\n"
        "class Double(unittest.TestCase):\n"
        "    def test_zero(self):\n        self.assertIsInstance(double(0), int)\n"
    ),
}
OLD_TEST = (
    "import unittest\n\n\nclass Old(unittest.TestCase):\n    def test_old(self):\n        self.fail()\n"
)
CHECK = "python3 -m unittest -v"
FIX = call("edit_file", {"path": "widgets.py", "old": "n + n + 1", "new": "n + n"})
# The same by a shell, with its summary.
FIX_COMMAND = "sed -i 's/n + n + 1/n + n/' widgets.py && echo Fixed it. >$SPRINT_SUMMARY"
WORKFLOW = call("write_file", {"path": ".github/workflows/x.yml", "content": "on: push"})
CHECKED = call("run_command", {"command": CHECK})
FIXED = [FIX, CHECKED, finish("implemented", "double() no longer adds one.")]


def backlog(forge: DemoForge) -> int:
    """A repository with an epic and then a bug; returns the bug's number."""
    forge.add_repo(REPO, FILES)
    forge.add_issue(REPO, "Widgets everywhere", "All of it.", labels=["epic"])
    return forge.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
