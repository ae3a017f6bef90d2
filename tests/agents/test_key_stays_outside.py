"""A probe in the agent's place looks for the model's key wherever it can reach; it finds what was planted."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint.config import ClaudeWorkerConfig
from sprint.domain import Endpoint, Secret
from sprint.gateway import Door, opened
from sprint.runs import RunStore
from sprint.worker import Services
from sprint.worker.agents import claude
from sprint.worker.agents.model_way import ModelWays
from sprint.worker.agents.performer import AgentPerformer
from sprint.worker.attached import Attached
from tests.agents.model import ScriptedModel
from tests.around import around
from tests.servers.replies import say
from tests.worker.conftest import NO_CONFIG, Bench

# What it looks for it knows only turned around, so that it does not find itself.
PROBE = r"""#!/usr/bin/python3
import http.client, json, os, pathlib, socket, subprocess, sys
told = json.loads(pathlib.Path("../tmp/told.json").read_text())
SOUGHT = {name: value[::-1].encode() for name, value in told["turned"].items()}
found, reached = {name: [] for name in SOUGHT}, []
def look(where, data):
    for name, value in SOUGHT.items():
        if value in data:
            found[name].append(where)
def attempt(what, action):
    try:
        action()
        reached.append(what)
    except OSError:
        pass
# Planted, so that not finding the key means that it is not there.
decoy = SOUGHT["decoy"].decode()
child = subprocess.Popen(["sleep", "60"], env={"DECOY": decoy})
pathlib.Path(os.environ["HOME"], "decoy").write_text(decoy)
for folder in pathlib.Path("/proc").iterdir():
    if folder.name.isdigit():
        for name in ("environ", "cmdline"):
            try:
                look(f"process {name}", (folder / name).read_bytes())
            except OSError:
                pass
for top in ("etc", "home", "opt", "root", "run", "srv", "tmp", "var", "work", "dev/shm"):
    for folder, _, names in os.walk("/" + top):
        for name in names:
            path = pathlib.Path(folder, name)
            try:
                if path.is_file() and path.stat().st_size < 5_000_000 and path.name != "told.json":
                    look("file", path.read_bytes())
            except OSError:
                pass
address = os.environ["ANTHROPIC_BASE_URL"].rpartition(":")[2]
good = {"Authorization": "Bearer " + os.environ["ANTHROPIC_AUTH_TOKEN"]}
asked = json.dumps({"messages": [], "max_tokens": 5, "tools": [{"name": "x", "input_schema": {}}]})
for method, path, body, headers in (
    ("POST", "/v1/messages", asked, good),
    ("POST", "/v1/messages", asked, {"Authorization": "Bearer wrong"}),
    ("POST", "/v1/messages", "no JSON", good),
    ("POST", "/v1/messages/count_tokens", asked, good),
    ("GET", "/v1/models", None, good),
    ("GET", "/v1/organizations/api_keys", None, good),
    ("GET", "/", None, good),
    ("HEAD", "/", None, good),
    ("OPTIONS", "/v1/messages", None, good),
    ("TRACE", "/v1/messages", None, good),
):
    connection = http.client.HTTPConnection("127.0.0.1", int(address), timeout=20)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    look("answer", str(response.headers).encode() + response.read())
    connection.close()
def dial(port):
    return lambda: socket.create_connection(("127.0.0.1", port), timeout=5).close()
def knock(path):
    def go():
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(5)
            one.connect(path)
    return go
attempt("the gateway", dial(int(address)))
attempt("the model's own server", dial(told["port"]))
attempt("this run's socket", knock("/run/gateway/socket"))
for path in told["sockets"]:
    attempt("another run's socket", knock(path))
mine = socket.socket(socket.AF_UNIX)
mine.bind("\0probe")
mine.listen()
attempt("an abstract socket inside", knock("\0probe"))
attempt("an abstract socket of the machine", knock("\0" + told["abstract"]))
child.kill()
pathlib.Path("../tmp/found.json").write_text(json.dumps({"found": found, "reached": reached, "token": good}))
print(json.dumps({"type": "result", "subtype": "success", "is_error": False, "result": "done"}))
"""


def services_with(bench: Bench, endpoint: Endpoint) -> Services:
    return Services(
        lambda: [endpoint],
        RunStore(bench.results),
        bench.results,
        bench.job.limits,
        around(bench.results),
        NO_CONFIG,
    )


def test_a_probe_finds_no_key_inside(
    bench: Bench, workspaces: Path, serve: Callable[..., ScriptedModel]
) -> None:
    decoy, abstract = f"sk-{secrets.token_hex(16)}", f"sprint-{secrets.token_hex(8)}"
    model = serve(lambda asked, number: say(f"The key is {decoy}."))
    endpoint = Endpoint("scripted", f"{model.url}/v1", Secret(model.key))
    services = services_with(bench, endpoint)
    program = workspaces / "claude"
    program.write_text(PROBE)
    program.chmod(0o755)
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(f"\0{abstract}")
        listening.listen()
        other = bench.results / "runs" / "another"
        other.mkdir()
        stack.enter_context(opened(other, {"model": Door(Silent(), {}, {})}))
        sockets = [str(path) for path in other.rglob("socket")]
        assert sockets
        told = {
            "turned": {"key": model.key[::-1], "decoy": decoy[::-1]},
            "port": int(model.url.rpartition(":")[2]),
            "sockets": sockets,
            "abstract": abstract,
        }
        (bench.job.workspace.tmp / "told.json").write_text(json.dumps(told))
        (bench.job.workspace.tmp / "told.json").chmod(0o644)
        config = ClaudeWorkerConfig(program=str(program))
        worker = Attached(AgentPerformer(claude, config, ModelWays(services)), RunStore(bench.results))
        worker.start(bench.job)
    report = json.loads((bench.job.workspace.tmp / "found.json").read_text())
    assert report["found"]["key"] == []
    assert set(report["found"]["decoy"]) == {"process environ", "file", "answer"}
    assert set(report["reached"]) == {"the gateway", "this run's socket", "an abstract socket inside"}
    assert len(model.asked) == 1
    assert model.key not in (bench.job.folder / "agent.log").read_text()
    assert not list(bench.job.folder.glob("gateway-*")), "and nothing of the way is left"


class Silent:
    def serve(self, exchange: Any) -> None:
        pass


def test_a_key_of_anthropics_goes_to_anthropic_only(
    bench: Bench, serve: Callable[..., ScriptedModel]
) -> None:
    model = serve(lambda asked, number: say("hi"))
    endpoint = Endpoint("scripted", f"{model.url}/v1", Secret("sk-ant-api03-abcdefgh"))
    services = services_with(bench, endpoint)
    with pytest.raises(Exception, match=r"its key is one of Anthropic's, and 127\.0\.0\.1 is not") as raised:
        ModelWays(services).check("messages", "")
    assert "abcdefgh" not in str(raised.value)
    assert model._server.requests == []
