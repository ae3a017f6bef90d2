"""Projects by their manifests, as set-up and checks are found by them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sprint.environment.snapshot import Snapshot

TEST = "def test_one(): pass\n"
PROJECT = "[project]\nname = 'x'\n[build-system]\nrequires = ['flit_core']\n"
TOOLS = {"python3": "3.11.2", "node": "20.1.0", "npm": "10.2.0", "go": "1.22", "cargo": "1.80"}


def of(files: Mapping[str, str]) -> Snapshot:
    return Snapshot(frozenset(files), files)


def package(**fields: object) -> str:
    return json.dumps({"scripts": {"test": "jest"}, "devDependencies": {"jest": "29"}, **fields})
