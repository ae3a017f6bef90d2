"""The fixed environment of commands, the same in every kind of sandbox."""

from __future__ import annotations

import functools
from pathlib import Path

from sprint import proc
from sprint.config import SandboxConfig, SandboxKind
from sprint.sandbox import toolchains
from sprint.sandbox.toolchains import Toolchains

STAND_IN = "/run/sprint/bin"  # in the sandbox, and the last folder on its PATH
_STAND_IN_FILE = Path(__file__).with_name("bin") / "python"


def environment(config: SandboxConfig, *, home: str, tmp: str) -> dict[str, str]:
    """Everything that commands find in their environment: nothing of it is the runner's own."""
    return {
        "PATH": _search_path(tuple(config.readable), config.kind, toolchains.found(), home),
        "HOME": home,
        "TMPDIR": tmp,
        "USER": "sprint",
        "LOGNAME": "sprint",
        "SHELL": "/bin/sh",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "PAGER": "cat",
        # The agent may commit as it likes: what is pushed is a commit of the runner's own.
        "GIT_AUTHOR_NAME": "agent",
        "GIT_AUTHOR_EMAIL": "agent@localhost",
        "GIT_COMMITTER_NAME": "agent",
        "GIT_COMMITTER_EMAIL": "agent@localhost",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_EDITOR": "true",
        # pip falls back to HOME/.local where the system is read-only, once it is told that it may.
        "PIP_BREAK_SYSTEM_PACKAGES": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        # What is not there cannot be fetched from where uv would look for it.
        "UV_PYTHON_DOWNLOADS": "never",
        "npm_config_prefix": f"{home}/.local",
        "npm_config_update_notifier": "false",
        "npm_config_fund": "false",
        # Go makes its module cache read-only, and then nobody but root can remove it.
        "GOFLAGS": "-modcacherw",
    }


@functools.cache
def _search_path(readable: tuple[str, ...], kind: SandboxKind, toolchain: Toolchains, home: str) -> str:
    """The project's environment, the operator's toolchains, the system, and what stands in for `python`."""
    shown = [_programs_of(path) for path in (*readable, *toolchain.first)]
    shown.append(proc.GO_PATH)
    last = [
        *map(_programs_of, toolchain.last),
        STAND_IN if kind == "bwrap" else str(_STAND_IN_FILE.parent),
    ]
    return ":".join(
        [
            *(f"{home}/.venv/bin", f"{home}/.local/bin"),
            *(path for path in shown if Path(path).is_dir()),
            proc.SEARCH_PATH,
            *last,
        ]
    )


def _programs_of(path: str) -> str:
    if Path(path).is_file():
        return str(Path(path).parent)
    return path if Path(path).name == "bin" else f"{path}/bin"


@functools.cache
def stand_in_for_python() -> str:
    """A script that is `python` where there is only `python3`, as on Debian."""
    return _STAND_IN_FILE.read_text()
