"""The same job with nothing around it: git, one bubblewrap a command, the fewest requests.

A program by itself. It reads JSON from its standard input: forge (its API), token, repo, clone, model, key,
tools, folder. It prints the seconds that each of the model's turns took, commands included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path

import requests

given = json.load(sys.stdin)
forge, model = requests.Session(), requests.Session()
forge.headers["Authorization"] = f"token {given['token']}"
model.headers["Authorization"] = f"Bearer {given['key']}"
api = f"{given['forge']}/repos/{given['repo']}"
checkout = Path(given["folder"], "checkout")
basic = b64encode(f"x:{given['token']}".encode()).decode()


def asked(method, url, **payload):
    answer = forge.request(method, url, json=payload or None)
    answer.raise_for_status()
    return answer.json()


def git(*args):
    own = ["-c", f"http.extraHeader=Authorization: Basic {basic}"]
    own += ["-c", "user.name=floor", "-c", "user.email=floor@localhost"]
    subprocess.run(["git", *own, *args], check=True, capture_output=True)


def in_bwrap(command):
    system = [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")]
    links = [word for name, target in system for word in ("--symlink", target, f"/{name}")]
    options = ["--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/usr", "/usr", *links]
    options += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind", str(checkout), "/work"]
    argv = ["bwrap", *options, "--chdir", "/work", "--", "bash", "-c", command]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout


def completed(messages):
    body = {"model": "scripted", "messages": messages, "tools": given["tools"], "stream": True}
    calls, content = {}, ""
    with model.post(f"{given['model']}/chat/completions", json=body, stream=True) as answer:
        for line in answer.iter_lines():
            if not line.startswith(b"data: {"):
                continue
            for choice in json.loads(line[6:])["choices"]:
                content += choice["delta"].get("content") or ""
                for part in choice["delta"].get("tool_calls") or ():
                    call = calls.setdefault(part["index"], {"id": "", "name": "", "arguments": ""})
                    call["id"] = part.get("id") or call["id"]
                    call["name"] += part["function"].get("name") or ""
                    call["arguments"] += part["function"].get("arguments") or ""
    return content, list(calls.values())


def worked(issue):
    messages = [{"role": "user", "content": f"{issue['title']}\n{issue['body']}"}]
    is_over = False
    while not is_over:
        content, calls = completed(messages)
        named = [
            {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}}
            for c in calls
        ]
        messages.append({"role": "assistant", "content": content, "tool_calls": named})
        for call in calls:
            is_over = call["name"] == "finish"
            output = "" if is_over else in_bwrap(json.loads(call["arguments"])["command"])
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": output})
    return sum(message["role"] == "assistant" for message in messages)


base = asked("GET", api)["default_branch"]
(issue, *_) = asked("GET", f"{api}/issues?state=open&type=issues&limit=1")
git("clone", "-q", "--branch", base, given["clone"], str(checkout))
started = time.perf_counter()
turns = worked(issue)
print((time.perf_counter() - started) / turns)
git("-C", str(checkout), "commit", "-qam", issue["title"])
git("-C", str(checkout), "push", "-q", "origin", f"HEAD:refs/heads/fix-{issue['number']}")
asked("POST", f"{api}/pulls", title=issue["title"], body="", head=f"fix-{issue['number']}", base=base)
