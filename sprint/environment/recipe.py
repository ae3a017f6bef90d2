"""What is to be done for one commit of a repository, and the key under which its environment is kept."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from msgspec import Struct

from sprint import git
from sprint.config import Paths, RepoConfig
from sprint.domain import replace
from sprint.environment import snapshot
from sprint.environment.dependencies_only import are_dependencies_only
from sprint.environment.ecosystems import propose
from sprint.environment.proposal import Proposal
from sprint.environment.snapshot import Snapshot
from sprint.environment.tool_versions import versions
from sprint.errors import SandboxError
from sprint.gateway import Gateway
from sprint.sandbox import Sandbox

_FORMAT = 1
# Where a version is declared that an editable installation writes down: a test may compare the two.
_VERSION_FILE = re.compile(r"(?:src/)?[^/]+/(?:__init__|__about__|__version__|_version|version)\.py")
_SOURCES_OF_ITS_OWN = re.compile(r"^[ \t]*(?:\.{1,2}(?:[/\[ \t]|$)|file:|/)", re.MULTILINE)
_PATH_SOURCE = re.compile(r"\bpath\s{0,9}=")


class Project(Struct, frozen=True):
    """A repository as environments see it: `mirror` has its commits, `paths` says where things are kept.

    `setup_gateway` is asked, with whether the code is the base's own, for what its set-up gets in place of
    a network; None where it is given nothing. `may_show`: kept environments may be shown below workspaces
    rather than copied, for all that works there is started by this process.
    """

    forge: str
    repo: str
    config: RepoConfig
    paths: Paths
    mirror: Path
    sandbox: Sandbox
    setup_gateway: Callable[[bool], AbstractContextManager[Gateway] | None] = lambda is_base: None
    may_show: bool = True


class Recipe(Struct, frozen=True):
    """The commands for one commit; `is_found` and the like where they were proposed rather than configured.

    `key` is the same for all commits whose environments are the same; "" where there is no set-up. Where that
    may be made of the project's own sources (not `is_dependencies_only`), no other commit has the same.
    """

    setup: tuple[str, ...]
    build: tuple[str, ...]
    checks: tuple[str, ...]
    is_found: bool
    is_build_found: bool = False
    are_checks_found: bool = False
    is_dependencies_only: bool = True
    key: str = ""
    note: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is no command at all."""
        return not (self.setup or self.build or self.checks)


def recipe_for(project: Project, commit: str) -> Recipe:
    """Configured commands, else what is proposed by the commit's own files. Raises SprintError."""
    config = project.config
    files = snapshot.of_commit(project.mirror, commit)
    tools = versions(project.sandbox, config.sandbox, project.paths.cache)
    chosen = choose(config, propose(files, tools))
    if not chosen.setup:
        return chosen
    is_dependencies_only = are_dependencies_only(chosen.setup) and not _installs_sources(files)
    given = _inputs(project.mirror, commit, chosen.setup if is_dependencies_only else None)
    box = [config.sandbox.kind, config.sandbox.setup_network]
    seen = [_FORMAT, chosen.setup, box, platform.machine(), _system(), dict(tools), given]
    key = hashlib.sha256(json.dumps(seen, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return replace(chosen, is_dependencies_only=is_dependencies_only, key=key)


def found_in(config: RepoConfig, files: Snapshot, sandbox: Sandbox, cache: Path | None = None) -> Recipe:
    """What would be done for a project with these files, without the key that only a mirror tells.

    Where the sandbox cannot be asked what it has, only what every system has is counted on.
    """
    usual = choose(config, propose(files, {}))
    if not (usual.is_found and usual.setup):
        return usual
    try:
        return choose(config, propose(files, versions(sandbox, config.sandbox, cache)))
    except SandboxError:
        return usual


def choose(config: RepoConfig, proposed: Proposal) -> Recipe:
    """What is configured goes before what is proposed; with a configured set-up no build is proposed."""
    is_found = config.setup is None
    setup, build, note = proposed.setup, proposed.build, ""
    if is_found and setup and config.sandbox.setup_network == "none":
        setup, build, note = (), (), "nothing is fetched: sandbox.setup_network is none"
    if config.setup is not None:
        setup, build = config.setup, ()
    return Recipe(
        setup=setup,
        build=config.build if config.build is not None else build,
        checks=config.checks if config.checks is not None else proposed.checks,
        is_found=is_found,
        is_build_found=config.build is None,
        are_checks_found=config.checks is None,
        note=note,
    )


def _inputs(mirror: Path, commit: str, setup: Iterable[str] | None) -> Mapping[str, str]:
    """The files that a set-up depends on, with their blobs; with None, all that there are."""
    if setup is None:
        return {"": git.resolve(mirror, commit, "tree") or commit}
    named = {word for command in setup for word in command.split()}
    return {
        path: blob
        for path, blob in snapshot.tracked(mirror, commit).items()
        if snapshot.is_manifest(path) or _VERSION_FILE.fullmatch(path) or path in named
    }


def _installs_sources(files: Snapshot) -> bool:
    """Whether a manifest itself names a folder of the project to be installed as a copy."""
    requirements = [text for name, text in files.texts.items() if name.endswith((".txt", ".in"))]
    return any(map(_SOURCES_OF_ITS_OWN.search, requirements)) or bool(
        _PATH_SOURCE.search(files.text("pyproject.toml"))
    )


def _system() -> str:
    """The distribution: what set-up compiled was linked with its libraries."""
    try:
        return Path("/etc/os-release").read_text("utf-8", "replace")
    except OSError:
        return ""
