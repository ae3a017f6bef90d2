"""The sandbox as it is made for another machine; what is attacked there is in test_attacks."""

from __future__ import annotations

from sprint.domain import Workspace
from tests.sandbox.conftest import attack_elsewhere


def test_what_commands_need_is_there(space: Workspace) -> None:
    script = 'python --version && git --version && id -un && echo "$HOME $TMPDIR $PWD" && cat /etc/hosts'
    told = attack_elsewhere(space, script).out.splitlines()
    assert told[2:] == ["sprint", "/work/home /work/tmp /work/repo", "127.0.0.1 localhost", "::1 localhost"]


def test_each_process_has_its_limits(space: Workspace) -> None:
    """Of processes as many as are asked for, whatever else the user runs."""
    told = attack_elsewhere(space, "ulimit -c; ulimit -n; ulimit -f; ulimit -u").out.split()
    assert told[:3] == ["0", "4096", "500000"]
    assert 512 <= int(told[3]) < 700
