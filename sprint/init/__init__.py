"""`sprint init`: a first sprint.yaml, from what is found, with every default shown."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from sprint import credentials
from sprint.clean_text import safe_line
from sprint.config import (
    FILE_NAME,
    FollowConfig,
    GatewayConfig,
    Limits,
    MonitorConfig,
    NotifyConfig,
    Paths,
    PickConfig,
    PublishConfig,
    RepoConfig,
    SandboxConfig,
    agent_of_kind,
    worker_names,
)
from sprint.domain import is_repo_name, replace
from sprint.errors import ConfigError, SprintError
from sprint.files import refusing
from sprint.init import keeping
from sprint.init.discovery import Found, look, writable
from sprint.init.remotes import FoundRepo
from sprint.surroundings import Surroundings

_TEMPLATES = Path(__file__).parent
_SHOWN = 20  # repositories


@dataclass(frozen=True)
class Named:
    """What was named on the command line: repositories, in place of those that git remotes tell, who works on
    them, and the file that the token of their forge is in. `yes`: all that is offered is wanted; else it is
    asked for where a person is there to answer."""

    repos: tuple[str, ...] = ()
    worker: str = ""
    token_file: Path | None = None
    yes: bool = False


def init(
    directory: Path | None, config_path: Path | None, around: Surroundings, named: Named = Named()
) -> int:
    """Write DIRECTORY/sprint.yaml, or `config_path`, and say what was found and what comes next; returns 0.

    Raises ConfigError where there is such a file already, SprintError where it cannot be written.
    """
    cwd, out = around.cwd, around.out
    directory = cwd / (directory or ".")
    target = Path(os.path.abspath(cwd / config_path if config_path else directory / FILE_NAME))  # noqa: PTH100
    if not directory.is_dir():
        raise ConfigError(f"there is no directory {directory}; make it, or name another")
    if os.path.lexists(target):
        raise ConfigError(f"{target} is there already and stays as it is; move it away, or name another DIR")
    _check(named)
    found = _with_named(look(directory, around), named, around)
    is_attended = named.yes or (sys.stdin.isatty() and out.isatty())
    if is_attended and found.forges:
        found = _with_writable(found, around)
    if secrets := keeping.variables(found):
        kept = ", ".join(secrets)
        if _wants(f"keep {kept} in files that only you can read? cron has no environment", named, around):
            found = keeping.in_files(found, around)
        else:
            out.write(f"cron has no environment: `sprint init --yes` keeps {kept} in files\n")
    _write_new(target, render(found).encode())
    out.writelines(f"{line}\n" for line in _report(found, target))
    _offer_exclude(target, named, around)
    command = "sprint" if target == cwd / FILE_NAME else f"sprint --config {shlex.quote(str(target))}"
    out.write(f"look through it, then:\n  {command} doctor\n  {command} run --dry-run\n")
    return 0


def _with_writable(found: Found, around: Surroundings) -> Found:
    first = found.forges[0]
    if first.token is None:
        return found
    around.out.write(f"asking {first.config.site} which repositories its token may push to\n")
    around.out.flush()
    try:
        return replace(found, writable=writable(first))
    except SprintError as error:
        return replace(found, no_writable=str(error))


def _offer_exclude(target: Path, named: Named, around: Surroundings) -> None:
    path = keeping.git_exclude(target)
    if path is None:
        return
    if _wants(f"keep {FILE_NAME} and results/ out of this checkout's git, by {path}?", named, around):
        keeping.exclude(path)
        around.out.write(f"{path} keeps {FILE_NAME} and results/ out of git\n")
    else:
        around.out.write(f"to keep them out of git: printf '/{FILE_NAME}\\n/results/\\n' >> {path}\n")


def _wants(question: str, named: Named, around: Surroundings) -> bool:
    if named.yes or not (sys.stdin.isatty() and around.out.isatty()):
        return named.yes
    around.out.write(f"{question} [Y/n] ")
    around.out.flush()
    return sys.stdin.readline().strip().lower() in ("", "y", "yes")


def _check(named: Named) -> None:
    for name in named.repos:
        if not is_repo_name(name):
            raise ConfigError(f"--repo: {safe_line(name)!r} is no repository; write OWNER/REPO")
    if named.worker not in ("", "local") and agent_of_kind(named.worker) is None:
        raise ConfigError(
            f"--worker: {safe_line(named.worker)!r} is no kind of coding agent; there are "
            f"{worker_names(())}; others go under workers: in sprint.yaml"
        )


def _with_named(found: Found, named: Named, around: Surroundings) -> Found:
    if (named.repos or named.token_file) and not found.forges:
        raise ConfigError("on which forge? Set GITEA_URL or GITHUB_TOKEN first")
    if named.token_file:
        first, *others = found.forges
        token = credentials.token_in_file(around.cwd / named.token_file, "--token-file")
        found = replace(found, forges=(replace(first, token=token), *others))
    repos = tuple(FoundRepo("", name, found.forges[0].kind, "") for name in named.repos)
    here = {repo.name.lower() for repo in found.repos}
    is_here = not repos or any(repo.name.lower() in here for repo in repos)
    project = found.project if is_here else None  # another repository's set-up says nothing about these
    return replace(found, repos=repos or found.repos, project=project, worker=named.worker)


def _write_new(path: Path, data: bytes) -> None:
    try:
        with refusing("write", path, FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise ConfigError(f"{path} is there already and stays as it is; move it away") from None
    with refusing("write", path):
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            raise


def _report(found: Found, target: Path) -> list[str]:
    said = [f"wrote {target}"]
    said += [f"  forge       {forge.says}" for forge in found.forges]
    if not found.forges:
        said.append("  forge       none found: set GITEA_URL or GITHUB_TOKEN, or write it under forges:")
    for index, repo in enumerate(found.repos):
        if not repo.remote:
            said.append(f"  repository  {repo.name}, as named")
            continue
        note = f"git remote {safe_line(repo.remote, 60)}"
        said.append(f"  repository  {repo.name} ({note}{', commented out' if index else ''})")
    said += [
        f"  repository  {repo.name} is at {repo.host}, no forge known here; set GITEA_URL if it is one"
        for repo in found.elsewhere
    ]
    if not found.repos:
        said.append("  repository  none found: list some under repos:")
    if found.writable:
        more = f", and {len(found.writable) - _SHOWN} more" if len(found.writable) > _SHOWN else ""
        said.append(f"  may push    {', '.join(found.writable[:_SHOWN])}{more}")
    elif found.no_writable:
        said.append(f"  may push    not known: {safe_line(found.no_writable, 300)}")
    if found.project:
        said += [f"  set-up      {command}" for command in (*found.project.setup, *found.project.build)]
        said += [f"  check       {command}" for command in found.project.checks]
        if not found.project.checks:
            said.append(
                "  check       none found: name what proves a change as `checks`, what it needs as `setup`"
            )
    said.append(f"  model       {safe_line(found.model.says if found.model else found.no_model, 300)}")
    return said


def render(found: Found) -> str:
    """The text of sprint.yaml. Raises jinja2's errors for a value that is missing: a defect of ours."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - YAML, whose values all go through the filter below
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(yaml=_yaml, remark=lambda text: safe_line(text, 300))
    return environment.get_template(f"{FILE_NAME}.j2").render(
        found=found,
        keys={
            "limits": _keys(Limits()),
            "sandbox": _keys(SandboxConfig()),
            "gateway": _keys(GatewayConfig()),
            "pick": _keys(PickConfig()),
            "publish": _keys(PublishConfig()),
            "follow": _keys(FollowConfig()),
            "monitor": _keys(MonitorConfig()),
            "notify": _keys(NotifyConfig()),
            "paths": _keys(Paths()),
        },
        repo=RepoConfig(name=""),
    )


def _keys(section: Struct) -> dict[str, Any]:
    return {name: getattr(section, name) for name in section.__struct_fields__}


def _yaml(value: object) -> str:
    """One value as YAML, on one line."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, default=lambda other: asdict(other) if isinstance(other, Struct) else str(other))
