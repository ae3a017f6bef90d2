"""`sprint init`: a first sprint.yaml, from what is found, with every default shown."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from msgspec import Struct
from msgspec.structs import asdict

from sprint.clean_text import safe_line
from sprint.config import (
    FILE_NAME,
    GatewayConfig,
    Limits,
    MonitorConfig,
    NotifyConfig,
    Paths,
    PickConfig,
    PublishConfig,
    RepoConfig,
    SandboxConfig,
)
from sprint.errors import ConfigError
from sprint.files import refusal
from sprint.init.discovery import Found, look

_TEMPLATES = Path(__file__).parent


def init(
    directory: Path | None,
    config_path: Path | None,
    environ: Mapping[str, str],
    cwd: Path,
    home: Path,
    out: TextIO,
) -> int:
    """Write DIRECTORY/sprint.yaml, or `config_path`, and say what was found and what comes next; returns 0.

    Raises ConfigError where there is such a file already, SprintError where it cannot be written.
    """
    directory = cwd / (directory or ".")
    target = Path(os.path.abspath(cwd / config_path if config_path else directory / FILE_NAME))  # noqa: PTH100
    if not directory.is_dir():
        raise ConfigError(f"there is no directory {directory}; make it, or name another")
    if os.path.lexists(target):
        raise ConfigError(f"{target} is there already and stays as it is; move it away, or name another DIR")
    found = look(directory, environ, home)
    _write_new(target, render(found).encode())
    out.writelines(f"{line}\n" for line in _report(found, target))
    command = "sprint" if target == cwd / FILE_NAME else f"sprint --config {shlex.quote(str(target))}"
    out.write(f"look through it, then:\n  {command} doctor\n  {command} run --dry-run\n")
    return 0


def _write_new(path: Path, data: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise ConfigError(f"{path} is there already and stays as it is; move it away") from None
    except OSError as error:
        raise refusal("write", path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise refusal("write", path, error) from error


def _report(found: Found, target: Path) -> list[str]:
    said = [f"wrote {target}"]
    said += [f"  forge       {forge.says}" for forge in found.forges]
    if not found.forges:
        said.append("  forge       none found: set GITEA_URL or GITHUB_TOKEN, or write it under forges:")
    for index, repo in enumerate(found.repos):
        note = f"git remote {safe_line(repo.remote, 60)}"
        said.append(f"  repository  {repo.name} ({note}{', commented out' if index else ''})")
    said += [
        f"  repository  {repo.name} is at {repo.host}, no forge known here; set GITEA_URL if it is one"
        for repo in found.elsewhere
    ]
    if not found.repos:
        said.append("  repository  none found: list some under repos:")
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
