#!/usr/bin/env python3
"""A hook for Claude Code: no commands that lose work or publish it. Advice to the agent, no boundary."""

import json
import re
import sys

REFUSED = {
    r"\bgit\b.*\bpush\b.*\b(main|master)\b": "pushes to the main branch",
    r"\bgit\b.*\bpush\b.*(--force(?!-with-lease)|\s-f\b)": "forced pushes",
    r"\bgit\b.*\brebase\b": "rebases",
    r"\bgit\b.*\breset\b.*--hard": "git reset --hard",
    r"\bgit\b.*\bclean\b.*-\w*f": "git clean",
    r"\bgh\s+pr\s+merge\b": "merging pull requests",
    r"--no-verify\b": "skipping hooks with --no-verify",
}

given = json.load(sys.stdin)
command = str(given.get("tool_input", {}).get("command", ""))
for pattern, what in REFUSED.items():
    for part in re.split(r"[;&|\n]+", command):
        if re.search(pattern, part):
            sys.stderr.write(f"{what}: not here; commit, and leave the rest to whoever started you\n")
            sys.exit(2)
