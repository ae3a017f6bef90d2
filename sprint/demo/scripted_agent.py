"""An agent for `sprint demo --sprite`: it plays the script that the demo's model plays, without a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

# Told apart by the title in its prompt; a pause before each step, for there to be something to see.
_AGENT = """\
import json, os, pathlib, subprocess, sys, time
plays = json.loads(PLAYS)
told = pathlib.Path(os.environ["SPRINT_PROMPT"]).read_text()
title = next(title for title in plays if title in told)
for text, tool, given in plays[title]["steps"]:
    print(text, flush=True)
    time.sleep(0.2)
    path = pathlib.Path(given.get("path", "."))
    if tool == "edit_file":
        path.write_text(path.read_text().replace(given["old"], given["new"]))
    elif tool == "write_file":
        path.write_text(given["content"])
    elif tool == "run_command":
        subprocess.run(given["command"], shell=True, stderr=subprocess.STDOUT)
pathlib.Path(os.environ["SPRINT_SUMMARY"]).write_text(plays[title]["summary"])
"""

Step = tuple[str, str, Mapping[str, Any]]


def command(plays: Mapping[str, tuple[Sequence[Step], str]]) -> str:
    """The shell command that is this agent."""
    told = {title: {"steps": steps, "summary": summary} for title, (steps, summary) in plays.items()}
    program = _AGENT.replace("PLAYS", repr(json.dumps(told)), 1)
    return f"python3 - <<'END-OF-AGENT'\n{program}END-OF-AGENT\n"
