"""Work on a sprite: what agents there do, and a run that comes to its end."""

from __future__ import annotations

from datetime import UTC, datetime

from sprint.domain import Phase, Run
from tests.one_host import Host
from tests.some_run import some_run
from tests.waiting import until_agents_ended, wait_until

FIX = "sed -i 's/n + n + 1/n + n/' widgets.py && echo 'double() no longer adds one.' >\"$SPRINT_SUMMARY\""


def ticked_to_the_end(host: Host, *, while_at_work: bool = False) -> None:
    """Tick until the run is settled: whenever its agent has ended, or all the time as cron does."""

    def settled() -> bool:
        if not while_at_work:
            until_agents_ended(host.site.path.parent)
        assert host.tick() == 0
        return host.run().phase is Phase.SETTLED

    wait_until(settled, seconds=60)


# Looks around, asks its model twice, as its environment says, and does what issue #1 wants.
CLAUDE = r"""#!/usr/bin/python3
import http.client, json, os, pathlib, re, shutil, sys
from urllib.parse import urlsplit
seen = {"made": bool(shutil.which("made"))}
if os.environ["HOME"] == "/work/home":
    network = pathlib.Path("/proc/net/dev").read_text().splitlines()[2:]
    seen["network"] = [line.split()[0] for line in network]
    seen["homes"] = [name for home in ("/home", "/root") for _, _, names in os.walk(home) for name in names]
    seen["work"] = sorted(os.listdir("/work"))
pathlib.Path("seen.json").write_text(json.dumps(seen))
told = sys.stdin.read()
address = urlsplit(os.environ["ANTHROPIC_BASE_URL"])
for _ in range(2):
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    body = {"model": sys.argv[sys.argv.index("--model") + 1], "max_tokens": 50, "messages": [],
            "tools": [{"name": "x", "input_schema": {}}]}
    key = os.environ["ANTHROPIC_AUTH_TOKEN"]
    path, headers = address.path + "/v1/messages", {"Authorization": "Bearer " + key}
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    assert answer.status == 200, said
    message = {"id": "m%d" % _, "content": said["content"]}
    print(json.dumps({"type": "assistant", "message": message}), flush=True)
path = pathlib.Path("widgets.py")
path.write_text(path.read_text().replace("n + n + 1", "n + n"))
summary = re.search(r"`(\S+/summary\.md)`", told)[1]
pathlib.Path(summary).write_text("double() no longer adds one.")
usage = {"input_tokens": 1000, "output_tokens": 100}
print(json.dumps({"type": "result", "subtype": "success", "result": "done", "usage": usage}), flush=True)
"""
# Asks no model: one is away, and the other works and says what it used; "slow" goes on until it is ended.
OF_ITS_OWN = r"""#!/usr/bin/python3
import json, os, pathlib, sys, time
sys.stdin.read()
model = sys.argv[sys.argv.index("--model") + 1]
assert os.environ["ANTHROPIC_MODEL"] == model and "ANTHROPIC_API_KEY" not in os.environ
used = {"input_tokens": 500, "cache_read_input_tokens": 500, "output_tokens": 100}
if model == "away":
    print(json.dumps({"type": "result", "is_error": True, "result": "API Error: 529 overloaded"}), flush=True)
    sys.exit(1)
path = pathlib.Path("widgets.py")
path.write_text(path.read_text().replace("n + n + 1", "n + n"))
print(json.dumps({"type": "assistant", "message": {"id": "m1", "usage": used, "content": []}}), flush=True)
if model == "slow":
    time.sleep(600)
print(json.dumps({"type": "result", "subtype": "success", "result": "Mended.", "usage": used}), flush=True)
"""


def run_of(number: int) -> Run:
    now = datetime.now(UTC)
    return some_run(
        id=f"20261127T100000Z-acme-widgets-{number}-0000abc{number}",
        repo="acme/widgets",
        issue=number,
        host="here",
        started_at=now,
        worker="far",
    )
