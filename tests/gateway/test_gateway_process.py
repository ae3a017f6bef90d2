"""`sprint gateway RUN`: a run's way to its model that outlives whoever started it, and not the run."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sprint.config import load
from sprint.domain import Phase, Run, replace
from sprint.gateway.own_process import serves, start
from sprint.runs import RunStore
from tests.agents.model import ScriptedModel
from tests.around import around
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import say
from tests.site import Site
from tests.some_run import some_run
from tests.waiting import is_open, wait_until

STARTER = """
import sys, time
from pathlib import Path
from sprint.config import load
from sprint.gateway.own_process import start
from sprint.runs import RunStore
from sprint.surroundings import of_this_process
around = of_this_process()
config = load(Path("sprint.yaml"), around)
start(config, RunStore(config.paths.results).find(sys.argv[1]), "messages", around)
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel(lambda asked, number: say("hi")) as server:
        yield server


@pytest.fixture
def site(
    workspaces: Path, gitea: DemoForge, model: ScriptedModel, model_server: Callable[..., DemoModel]
) -> Site:
    gitea.add_repo("acme/widgets", {"a": "b"})
    made = Site(workspaces / "site", gitea, model_server([]), repos=[{"name": "acme/widgets"}])
    (made.path / "model.key").write_text(model.key)
    made.settings["model"]["base_url"] = f"{model.url}/v1"
    made.write()
    return made


@pytest.fixture
def run(site: Site) -> Run:
    made = some_run(
        id="20261127T100000Z-acme-widgets-1-0000abcd",
        repo="acme/widgets",
        issue=1,
        host=os.uname().nodename,
        pid=os.getpid(),
        started_at=datetime.now(UTC),
        phase=Phase.WORKING,
    )
    RunStore(site.path / "results").create(made)
    return made


def asked(folder: Path, key: str) -> tuple[int, Any]:
    """One request over the gateway's own socket."""
    connection = http.client.HTTPConnection("gateway", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        connection.sock.connect(f"/proc/self/fd/{descriptor}/model.http")
        body = json.dumps({"messages": [], "max_tokens": 5})
        connection.request("POST", "/v1/messages", body, {"x-api-key": key})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        os.close(descriptor)
        connection.close()


def test_it_survives_whoever_started_it_and_ends_with_the_run(
    site: Site, run: Run, model: ScriptedModel
) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, run.id],
        cwd=site.path,
        env=site.environ,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == "up\n"
    folder = site.path / "results" / "runs" / run.id / "gateway"
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    modes = [
        stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "model.http", folder / "key.json")
    ]
    assert modes == [0o700, 0o600, 0o600]
    told = json.loads((folder / "key.json").read_text())
    assert told["model"] == "scripted"
    assert asked(folder, told["key"])[0] == 200
    assert asked(folder, model.key)[0] == 401
    assert model.key not in "".join(path.read_text() for path in folder.parent.glob("*") if path.is_file())
    assert (folder.parent / "model.jsonl").read_text().count("\n") == 1
    again = site.sprint("gateway", run.id, "--speaks", "messages")
    assert (again.returncode, "is held by" in again.stderr) == (0, True)
    RunStore(site.path / "results").save(replace(run, phase=Phase.CONCLUDED))
    assert wait_until(lambda: not folder.exists())


@pytest.mark.parametrize("how", ["deadline", "SIGTERM", "SIGKILL"])
def test_it_ends_at_the_deadline_and_when_told_to(site: Site, run: Run, how: str) -> None:
    store = RunStore(site.path / "results")
    log = (site.path / "log").open("w")
    with (
        log,
        subprocess.Popen(
            [sys.executable, "-m", "sprint", "gateway", run.id, "--speaks", "messages"],
            cwd=site.path,
            env=site.environ,
            stderr=log,
        ) as process,
    ):
        folder = store.folder(run.id) / "gateway"
        assert wait_until(lambda: serves(store.folder(run.id))), "its key is there, too"
        if how == "deadline":
            store.save(replace(run, deadline=datetime.now(UTC)))
        else:
            process.send_signal(getattr(signal, how))
        process.wait(timeout=60)
    assert not is_open(folder / "model.http")
    if how == "SIGKILL":  # what it left is no obstacle to the next one, and agents elsewhere know its key
        known = json.loads((folder / "key.json").read_text())["key"]
        config = load(site.path / "sprint.yaml", around(site.path))
        started = start(config, run, "messages", around(site.path, site.environ))
        assert asked(started, known)[0] == 200
        store.save(replace(run, phase=Phase.SETTLED))
        assert wait_until(lambda: not folder.exists())
    else:
        assert process.returncode == (0 if how == "deadline" else 130)
        assert not folder.exists()


def test_who_needs_no_gateway_gets_none(site: Site, run: Run) -> None:
    untold = site.sprint("gateway", run.id)
    assert (untold.returncode, "say which with --speaks" in untold.stderr) == (2, True)
    RunStore(site.path / "results").save(replace(run, phase=Phase.SETTLED))
    over = site.sprint("gateway", run.id, "--speaks", "chat")
    assert (over.returncode, "is over, or past its deadline" in over.stderr) == (2, True)
    with contextlib.suppress(FileNotFoundError):
        assert not list((site.path / "results" / "runs" / run.id).glob("gateway*/*"))
