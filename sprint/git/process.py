"""Running git: an environment made from nothing, no hooks, no prompts, nothing discovered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from sprint import proc
from sprint.domain import Completed
from sprint.errors import SprintError
from sprint.git.server_errors import server_words

_HEX = re.compile(r"[0-9a-f]{40}")

_ENVIRONMENT = {
    "HOME": "/dev/null",
    "XDG_CONFIG_HOME": "/dev/null",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PROTOCOL_FROM_USER": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_GRAFT_FILE": "/dev/null",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_ADVICE": "0",
    "GIT_CEILING_DIRECTORIES": "/",
}
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.symlinks": "true",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.commitGraph": "true",
    "credential.helper": "",
    "credential.useHttpPath": "false",
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
    "protocol.ext.allow": "never",
    "fetch.fsckObjects": "true",
    "transfer.fsckObjects": "true",
    "submodule.recurse": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}


class GitError(SprintError):
    """A git command on local data failed."""


def is_full_hex(sha: str) -> bool:
    return _HEX.fullmatch(sha) is not None


def git(
    *args: str,
    git_dir: Path | None = None,
    work_tree: Path | None = None,
    stdin: bytes = b"",
    timeout: float = 60,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    uid: int | None = None,
    pass_fds: Iterable[int] = (),
    output_cap: int = 64_000_000,
    watch: Callable[[], str] | None = None,
) -> Completed:
    """Run git on a repository named outright; nothing is discovered from the working directory.

    `args` may begin with `-c` settings; `uid` runs it as somebody else; `watch` is `proc.run`'s. Raises
    GitError with git's own last words where it fails and `check` is set.
    """
    argv = ["git", *(part for key, value in _SETTINGS.items() for part in ("-c", f"{key}={value}"))]
    if git_dir is not None:
        argv.append(f"--git-dir={git_dir.absolute()}")
    if work_tree is not None:
        argv.append(f"--work-tree={work_tree.absolute()}")
    argv += args
    done = proc.run(
        argv,
        timeout=timeout,
        cwd=work_tree or Path("/"),
        env=proc.minimal_environment(**{"GIT_ALLOW_PROTOCOL": "", **_ENVIRONMENT, **(env or {})}),
        stdin=stdin,
        uid=uid,
        pass_fds=pass_fds,
        output_cap=output_cap,
        watch=watch,
    )
    if check and not done.ok:
        words = done.killed_by or server_words(done.err) or f"exit code {done.exit_code}"
        raise GitError(f"git {_subcommand(args)} failed: {words}")
    if check and done.truncated:
        raise GitError(f"git {_subcommand(args)} said more than {output_cap} bytes")
    return done


def _subcommand(args: tuple[str, ...]) -> str:
    rest = list(args)
    while rest and rest[0] == "-c":
        rest = rest[2:]
    return rest[0] if rest else ""
