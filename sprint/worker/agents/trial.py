"""One real turn of an agent with its model, the way a run goes: sandbox, gateway, transcript, hand-over."""

from __future__ import annotations

import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from sprint import proc, transcript
from sprint.config import AgentWorkerConfig, Limits, RepoConfig
from sprint.domain import Ending, Finding, Grade, Prompt, Run, Workspace, replace
from sprint.errors import SprintError
from sprint.forge import Forge
from sprint.sandbox import Sandbox
from sprint.worker import Job
from sprint.worker.agents.agent_kind import AgentKind
from sprint.worker.agents.performer import AgentPerformer
from sprint.worker.agents.way import Route
from sprint.worker.review import Inspection

_ANY_UID = 65533
_WORD = "sprint-was-here"
_PROMPT = f"Run the shell command `echo {_WORD} > trial.txt` in the current folder once, then say: done."
_LIMITS = Limits(minutes=5.0, turns=8, usd=0.5)


def one_turn(
    what: str, kind: AgentKind, config: AgentWorkerConfig, sandbox: Sandbox, route: Route
) -> Finding:
    """Whether it did as it was told, and what it took."""
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="sprint-trial-") as root,
        tempfile.TemporaryDirectory(prefix="sprint-trial-run-") as folder,
    ):
        job = _job(Path(root), Path(folder), sandbox)
        try:
            ended = AgentPerformer(kind, config, route).begin(job)
        except SprintError as error:
            return Finding(Grade.FAULT, f"{what} deep", str(error))
        used = transcript.usage(Path(folder))[0]
        is_made = _is_made(job.workspace.checkout / "trial.txt")
    cost = "" if used.cost_usd is None else f", ${used.cost_usd:.4f}"
    took = f"{time.monotonic() - began:.0f} s, {used.prompt_tokens} + {used.completion_tokens} tokens{cost}"
    if is_made and ended.ending is Ending.IMPLEMENTED:
        return Finding(Grade.OK, f"{what} deep", f"did as it was told through the gateway: {took}")
    why = ended.detail or ended.summary.strip().partition("\n")[0][:200] or ended.ending
    return Finding(Grade.FAULT, f"{what} deep", f"did not write the file that it was told to ({took}): {why}")


def _is_made(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return _WORD.encode() in file.read(200)


def _job(root: Path, folder: Path, sandbox: Sandbox) -> Job:
    space = Workspace(root, None if os.getuid() else _ANY_UID)
    root.chmod(0o755)
    for path in (space.checkout, space.home, space.tmp):
        path.mkdir()
        path.chmod(0o777)
    now = datetime.now(UTC)
    run = Run(
        id="doctor",
        forge="",
        repo="doctor/trial",
        issue=None,
        title="A trial",
        attempt=1,
        host=proc.hostname(),
        pid=os.getpid(),
        started_at=now,
        deadline=now + timedelta(minutes=_LIMITS.minutes),
        worker="",
    )
    return Job(
        run=replace(run, base_sha="HEAD"),
        prompt=Prompt("", _PROMPT),
        workspace=space,
        sandbox=sandbox,
        network=False,
        limits=_LIMITS,
        repo_config=RepoConfig(name="doctor/trial"),
        forge=cast(Forge, None),  # an agent asks none
        folder=folder,
        watch=lambda: "",
        inspect=lambda: Inspection(()),
    )
