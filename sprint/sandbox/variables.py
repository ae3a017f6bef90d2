"""The fixed environment of commands, the same in every kind of sandbox."""

from __future__ import annotations

from pathlib import Path

from sprint import proc
from sprint.config import SandboxConfig


def environment(config: SandboxConfig, *, home: str, tmp: str) -> dict[str, str]:
    """Everything that commands find in their environment: nothing of it is the runner's own."""
    return {
        "PATH": _search_path(config, home),
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
        # Compiled files are kept, but not in the checkout, where they would look like work.
        "PYTHONPYCACHEPREFIX": f"{home}/.cache/pycache",
        "npm_config_prefix": f"{home}/.local",
        "npm_config_update_notifier": "false",
        "npm_config_fund": "false",
        # Go makes its module cache read-only, and then nobody but root can remove it.
        "GOFLAGS": "-modcacherw",
    }


def _search_path(config: SandboxConfig, home: str) -> str:
    shown = ["/usr/local/go/bin"]  # where Go's own installer puts it, outside everybody's PATH
    shown += [path if Path(path).name == "bin" else f"{path}/bin" for path in config.readable]
    return ":".join(
        [f"{home}/.local/bin", *(path for path in shown if Path(path).is_dir()), proc.SEARCH_PATH]
    )
