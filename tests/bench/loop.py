"""The runner's own time per model turn, beside a bare loop on the same client with the same answers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from sprint import proc, sandbox
from sprint.config import SandboxConfig
from sprint.domain import Workspace
from tests.bench import measure
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, call, finish
from tests.site import Site

TURNS = 100

_BARE = """
import json, subprocess, sys, time
from openai import OpenAI
client = OpenAI(base_url=sys.argv[1], api_key=sys.argv[2])
tools = json.loads(sys.argv[3])
messages = [{"role": "user", "content": "Implement the issue."}]
started = time.perf_counter()
while True:
    content, calls = "", {}
    for chunk in client.chat.completions.create(
        model="scripted", messages=messages, tools=tools, stream=True, stream_options={"include_usage": True}
    ):
        for choice in chunk.choices:
            content += choice.delta.content or ""
            for part in choice.delta.tool_calls or ():
                call = calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
                call["id"] = part.id or call["id"]
                call["name"] += part.function.name or ""
                call["arguments"] += part.function.arguments or ""
    messages.append({"role": "assistant", "content": content, "tool_calls": [
        {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}}
        for c in calls.values()]})
    done = False
    for c in calls.values():
        arguments = json.loads(c["arguments"])
        done = c["name"] == "finish"
        output = "" if done else subprocess.run(
            arguments["command"], shell=True, capture_output=True, text=True, cwd=sys.argv[4]).stdout
        messages.append({"role": "tool", "tool_call_id": c["id"], "content": output})
    if done:
        break
print(time.perf_counter() - started)
"""


def _script(request: object, number: int) -> Reply:
    """As many different commands as there are turns, then the change and the end."""
    if number < TURNS - 1:
        return call("run_command", {"command": f"echo step {number}"})
    if number == TURNS - 1:
        return call("run_command", {"command": "echo changed >> README.md"})
    return finish()


def bench(scratch: Path) -> Iterator[str]:
    with DemoForge("gitea", scratch / "forge") as forge, DemoModel(_script) as model:
        forge.add_repo("acme/widgets", {"README.md": "widgets\n"})
        forge.add_issue("acme/widgets", "Change the README", "It should say so.")
        site = Site(scratch / "site", forge, model, limits={"turns": TURNS + 10})
        argv = [sys.executable, "-m", "sprint", "run", "acme/widgets"]
        whole = measure.command(argv, cwd=site.path, env=site.environ)
        row = site.rows()[0]
        assert row["outcome"] == "pr_opened", row
        ours = site.loop_seconds(row["run_id"]) / TURNS
        tools = model.asked[0].body["tools"]
    with DemoModel(_script) as model:
        bare = (
            float(site.python(_BARE, model.base_url, model.key, json.dumps(tools), str(scratch)).strip())
            / TURNS
        )
    sandboxed, plain = _command_costs(scratch)
    allowed = 1.25 * bare + (sandboxed - plain)
    yield f"a run of {TURNS} turns: {whole} (aim: 120 MB)"
    yield f"per turn: {ours * 1000:.1f} ms; bare loop: {bare * 1000:.1f} ms"
    yield f"a command: {plain * 1000:.1f} ms plain, {sandboxed * 1000:.1f} ms in the sandbox"
    yield f"ratio to 1.25 x bare + sandbox: {ours / allowed:.2f} (aim: at most 1)"


def _command_costs(scratch: Path) -> tuple[float, float]:
    """Seconds of one `echo` in the sandbox and by itself, each the mean of fifty."""
    box = sandbox.make(SandboxConfig())
    space = Workspace(scratch / "space", 65_000 if os.geteuid() == 0 else None)
    space.root.mkdir(mode=0o711)
    for folder in (space.checkout, space.home, space.tmp):
        folder.mkdir()
        if space.uid is not None:
            os.chown(folder, space.uid, space.uid)
    argv = ["bash", "-c", "echo step"]
    times = 50
    inside = measure.seconds(lambda: [box.run(argv, space, timeout=10) for _ in range(times)]) / times
    outside = measure.seconds(lambda: [proc.run(argv, timeout=10) for _ in range(times)]) / times
    return inside, outside
