"""The sandbox as it is made for another machine: what is attacked there, and fails, is what fails here."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint import proc
from sprint.config import SandboxConfig
from sprint.domain import Completed, Workspace
from sprint.sandbox import elsewhere
from sprint.sprite import errands
from tests.sandbox import test_attacks
from tests.sandbox.conftest import Outside, as_uid

# As errands.py comes to a machine: by stdin, to a Python that knows nothing of sprint.
_RUN = """\
import json, sys
given, errands = json.load(sys.stdin), {"__name__": "errands"}
exec(given["source"], errands)
env = {"PATH": given["path"]}
command = errands["_confined"](given["confine"], given["argv"], env=env, stdout=-1, stderr=-1)
out, err = command.communicate(timeout=given["seconds"])
print(json.dumps([command.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")]))
"""


def attack(space: Workspace, script: str, *, timeout: float = 20, network: bool = False) -> Completed:
    given = {
        "source": Path(errands.__file__).read_text(),
        "confine": elsewhere.box(SandboxConfig(), str(space.root), network=network),
        "argv": ["bash", "-c", script],
        "path": proc.SEARCH_PATH,
        "seconds": timeout,
    }
    python = shutil.which("python3", path=proc.SEARCH_PATH)
    assert python, "install python3"
    done = subprocess.run(
        [python, "-I", "-c", _RUN],
        input=json.dumps(given).encode(),
        capture_output=True,
        cwd="/",
        env={"PATH": proc.SEARCH_PATH},
        **as_uid(),
    )
    assert done.returncode == 0, done.stderr
    code, out, err = json.loads(done.stdout)
    return Completed(code, out.encode(), err.encode())


_GIVEN = ("space", "outside", "marker", "workspaces")
ATTACKS: dict[str, Callable[..., None]] = {
    name: test
    for name, test in vars(test_attacks).items()
    if name.startswith("test_")
    and "attack(" in inspect.getsource(test)
    and set(inspect.signature(test).parameters) <= {*_GIVEN, "monkeypatch"}
}


# With their own marks: some of them only root can try.
_MARKED = [pytest.param(test, marks=getattr(test, "pytestmark", ())) for test in ATTACKS.values()]


@pytest.mark.parametrize("test", _MARKED, ids=ATTACKS)
def test_it_fails_there_too(
    test: Callable[..., None],
    space: Workspace,
    outside: Outside,
    marker: str,
    workspaces: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(test_attacks, "attack", attack)
    monkeypatch.setattr(test_attacks, "UID", elsewhere.UID)
    given: dict[str, Any] = {
        "space": space,
        "outside": outside,
        "marker": marker,
        "workspaces": workspaces,
        "monkeypatch": monkeypatch,
    }
    test(**{name: given[name] for name in inspect.signature(test).parameters})


def test_what_commands_need_is_there(space: Workspace) -> None:
    script = 'python --version && git --version && id -un && echo "$HOME $TMPDIR $PWD" && cat /etc/hosts'
    told = attack(space, script).out.splitlines()
    assert told[2:] == ["sprint", "/work/home /work/tmp /work/repo", "127.0.0.1 localhost", "::1 localhost"]


def test_each_process_has_its_limits(space: Workspace) -> None:
    """Of processes as many as are asked for, whatever else the user runs."""
    told = attack(space, "ulimit -c; ulimit -n; ulimit -f; ulimit -u").out.split()
    assert told[:3] == ["0", "4096", "500000"]
    assert 512 <= int(told[3]) < 700
