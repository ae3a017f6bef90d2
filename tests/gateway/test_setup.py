"""What the set-up of a real tick reaches: the indexes and the list, by default and whatever is configured."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.conftest import Page, Upstream
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import call, finish
from tests.site import Site

ASK = (
    "python3 -c \"import os, urllib.request as r; r.urlopen(os.environ['PIP_INDEX_URL'] + '{name}/').read()\""
)
REACH = """
import socket
try:
    socket.create_connection(("127.0.0.1", {port}), 5)
except OSError as error:
    print("not reached:", error)
"""


@pytest.fixture
def tick(
    workspaces: Path, gitea: DemoForge, upstream: Upstream
) -> Callable[..., tuple[dict[str, str], list[dict[str, Any]]]]:
    """A whole tick: its row, and what its run noted of the gateway."""

    def run(setup: list[str], files: dict[str, str], **settings: Any) -> Any:
        gitea.add_repo("acme/widgets", {"README.md": "widgets\n", **files})
        gitea.add_issue("acme/widgets", "Change the README", "It should say so.")
        script = [call("run_command", {"command": "echo changed >>README.md"}), finish()]
        with DemoModel(script) as model:
            site = Site(workspaces / "site", gitea, model, **{
                "gateway": {"indexes": {"pypi": f"{upstream.url}/pypi", "npm": "none", "go": "none",
                                        "crates": "none", "maven": "none"}},
                **settings,
            })  # fmt: skip
            site.settings["defaults"] |= {"setup": setup, "checks": ["true"]}
            site.write()
            done = site.sprint("run", "acme/widgets")
        if not (rows := site.rows()):
            return {"stderr": done.stderr}, []
        (row,) = rows
        path = site.path / "results" / "runs" / row["run_id"] / "gateway.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return {**row, "stderr": done.stderr}, [json.loads(line) for line in lines]

    return run


def test_set_up_reaches_an_index_at_the_base_and_in_the_proof(
    tick: Callable[..., Any], upstream: Upstream
) -> None:
    """One allowance of names for both: what the base asked for, the proof may ask for again."""
    upstream.pages |= {f"/pypi/{name}/": Page(b"<html>") for name in ("known", "new")}
    setup = [ASK.format(name="known"), ASK.format(name="new")]
    row, noted = tick(setup, {"requirements.txt": "known==1.0\n"})
    assert row["outcome"] == "pr_opened", row
    assert upstream.asked == ["/pypi/known/", "/pypi/new/"] * 2
    assert [(one["event"], one["name"]) for one in noted] == [("name", "new")]


def test_one_name_too_many_is_a_failure_that_says_so(tick: Callable[..., Any], upstream: Upstream) -> None:
    upstream.pages |= {f"/pypi/{name}/": Page(b"<html>") for name in ("known", "new")}
    indexes = {"pypi": f"{upstream.url}/pypi", "npm": "none", "go": "none", "crates": "none", "maven": "none"}
    row, _ = tick([ASK.format(name="new")], {}, gateway={"indexes": indexes, "names": 0})
    assert "outcome" not in row, "which is no issue's fault"
    assert "gateway.names allows more" in row["stderr"]
    assert upstream.asked == []


def test_an_address_that_no_index_has_is_a_failure_that_names_its_host_and_the_key(
    tick: Callable[..., Any],
) -> None:
    """As of a tool that fetches from the addresses in its lock file."""
    row, _ = tick(["python3 -c \"import urllib.request as r; r.urlopen('https://files.example/a.whl')\""], {})
    said = [line for line in row["stderr"].splitlines() if "setup failed: " in line]
    assert said, row
    assert (
        "the gateway refused CONNECT files.example:443 (gateway.connect does not list this host; " in said[-1]
    )


@pytest.mark.parametrize(
    ("configured", "at_base", "in_proof"),
    [
        ({}, False, False),
        ({"setup_network": "none"}, False, False),
        ({"setup_network": "host"}, True, False),
        ({"kind": "none", "setup_network": "none"}, True, True),  # which is no boundary, and said to be none
    ],
)
def test_this_machines_own_network_is_reached_at_the_base_only_by_those_who_say_so(
    tick: Callable[..., Any], configured: dict[str, str], at_base: bool, in_proof: bool
) -> None:
    """The proof runs code that the agent may have changed, and never gets it."""
    reached: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as service:
        port = service.getsockname()[1]
        row, _ = tick(
            ["python3 reach.py"],
            {"reach.py": REACH.format(port=port)},
            defaults={"forge": "home", "sandbox": configured},
        )
        assert row["outcome"] == "pr_opened", row
        service.settimeout(0.1)
        try:
            while True:
                service.accept()[0].close()
                reached.append("reached")
        except TimeoutError:
            pass
    assert len(reached) == at_base + in_proof
