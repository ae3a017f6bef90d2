"""Brings a repository to a sprite: a bundle of what is missing there, exact to the base commit, and the
newest of the other branches, for whoever looks at what was tried before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sprint.domain import Completed, Secret
from sprint.errors import SprintError
from sprint.sandbox import Command
from sprint.sprite.visit import Visit
from sprint.worker import Job
from sprint.worker.sprite.ground import Ground
from sprint.workspace.importing import ENVIRONMENT

PART = 8 << 20
_CAP = 1 << 30
_SECONDS = 1800.0
_BRANCHES = 50  # of the others, the newest
_TIP = re.compile(r"([0-9a-f]{40,64}) ([\w./+@#-]+)", re.ASCII)
# Nothing comes out where nothing is missing. By git's own rules a branch's name needs no quotes here.
_SCRIPT = """\
set -eu
base=$1 heads=$2; shift 2
git update-ref refs/sprint/base "$base"
[ -z "$(git rev-list -n 1 "$base" $heads "$@")" ] || git bundle create -q - refs/sprint/base $heads "$@"
"""
_LISTED = f"""\
git for-each-ref --sort=-committerdate --count={_BRANCHES} --format='%(objectname) %(refname:strip=3)' \\
    refs/remotes/origin
"""
_KNOWN = 'for one; do git cat-file -e "$one^{commit}" 2>/dev/null && echo "$one"; done; true'


def remote_url(job: Job) -> str:
    """Where the repository is fetched from, by whoever may."""
    return job.forge.remote(job.forge.repository(job.run.repo)).url


def send(job: Job, visit: Visit, ground: Ground, token: Secret | None = None) -> None:
    """Have the run's checkout made there, unless it is: of a bundle, or fetched there with a token.

    Raises BackendError; SprintError where the bundle cannot be made.
    """
    run = job.run
    there = visit.ask("have", run=run.id, slug=ground.slug)
    if there["unpacked"]:
        return
    if token is not None:
        _fetch(job, visit, ground, token)
        return
    known, branches = _known(job, there["commits"]), _branches(job)
    has_all = {run.base_sha, *branches.values()} <= set(known)
    bundle = b"" if has_all else _bundle(job, branches, known)
    parts = [bundle[at : at + PART] for at in range(0, len(bundle), PART)]
    for number, part in enumerate(parts):
        visit.backend.put(visit.sprite, f".sprint/runs/{run.id}/part-{number:04}", part)
    _unpack(job, visit, ground, parts=len(parts), branches=branches)


def _unpack(job: Job, visit: Visit, ground: Ground, **whence: object) -> None:
    run = job.run
    where = {"run": run.id, "slug": ground.slug, "base": run.base_sha, "branch": run.branch}
    visit.ask("unpack", timeout=_SECONDS, **where, main=run.base_branch, uid=ground.uid, **whence)


def _fetch(job: Job, visit: Visit, ground: Ground, token: Secret) -> None:
    """By a file: the token is in no argument and in no repository's configuration."""
    run = job.run
    file = f".sprint/runs/{run.id}/git-token.env"  # goes with the other keys, once the result has arrived
    visit.backend.put(visit.sprite, file, token.reveal().encode())
    remote = {"url": remote_url(job), "branch": run.base_branch, "token_file": file}
    _unpack(job, visit, ground, parts=0, remote=remote)


def _known(job: Job, commits: Sequence[str]) -> list[str]:
    """Those that the workspace has, too."""
    if not commits:
        return []
    done = job.sandbox.run(
        Command(["sh", "-c", _KNOWN, "known", *map(str, commits)], timeout=60, env=_environment()),
        job.workspace,
    )
    return done.out.split() if done.ok else []


def _branches(job: Job) -> dict[str, str]:
    """The other branches' tips, by name, of those whose names are plain."""
    done = job.sandbox.run(Command(["sh", "-c", _LISTED], timeout=60, env=_environment()), job.workspace)
    tips = filter(None, map(_TIP.fullmatch, done.out.splitlines() if done.ok else ()))
    return {tip[2]: tip[1] for tip in tips}


def _bundle(job: Job, branches: Iterable[str], known: Sequence[str]) -> bytes:
    """Made in the sandbox: the workspace's repository has been in the hands of the project's own commands.
    Without the branches where they make it too large."""
    heads = " ".join(f"refs/remotes/origin/{name}" for name in branches)
    done = _bundled(job, heads, known)
    if heads and (not done.ok or done.truncated):
        done = _bundled(job, "", known)
    if not done.ok or done.truncated:
        said = done.killed_by or (done.err.strip().splitlines() or ["it is too large"])[-1]
        raise SprintError(f"run {job.run.id}: its repository cannot be bundled for the sprite: {said[:300]}")
    return done.stdout


def _bundled(job: Job, heads: str, known: Sequence[str]) -> Completed:
    words = ["sh", "-c", _SCRIPT, "bundle", job.run.base_sha, heads, *(f"^{one}" for one in known)]
    command = Command(words, timeout=_SECONDS, env=_environment(), output_cap=_CAP)
    return job.sandbox.run(command, job.workspace)


def _environment() -> dict[str, str]:
    return {key: value for key, value in ENVIRONMENT.items() if key != "HOME"}
