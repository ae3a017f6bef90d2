"""A run's job over a real repository in a real sandbox, with a scripted model behind the real client."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sprint import proc, sandbox, transcript
from sprint.config import Config, Limits, Paths, RepoConfig, SandboxConfig
from sprint.domain import DiffStat, Endpoint, Prompt, Secret, WorkerResult, Workspace, replace
from sprint.errors import ForgeError
from sprint.runs import RunStore
from sprint.worker import Job
from sprint.worker.attached import Attached
from sprint.worker.local.worker import LocalPerformer
from sprint.worker.review import Inspection
from tests.servers.model import DemoModel
from tests.some_run import some_run

UID = 60123
NO_CONFIG = Config(forges={}, model=None, repos=(), defaults=RepoConfig(name=""), paths=Paths())


class ForgeThatReads:
    """Only what a worker may ask of a forge."""

    kind = "gitea"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.answer: Any = {"number": 3, "body": "shown<!-- hidden -->\u200b"}

    def read(self, repo: str, path: str, params: Mapping[str, str]) -> Any:
        self.asked.append((repo, path, dict(params)))
        if isinstance(self.answer, ForgeError):
            raise self.answer
        return self.answer


@dataclass
class Bench:
    """Runs jobs; `job` can be replaced by one with other limits before."""

    job: Job
    results: Path
    forge: ForgeThatReads
    serve: Callable[..., DemoModel]
    prices: Mapping[str, float] = field(default_factory=dict)
    server: DemoModel | None = None
    found: Inspection | None = None  # in place of what is there

    def limit(self, **limits: Any) -> None:
        self.job = replace(self.job, limits=Limits(**{"silence_seconds": 5.0, **limits}))

    def worker(self, *servers: DemoModel) -> Attached:
        endpoints = [
            Endpoint(server.name, server.base_url, Secret(server.key), **self.prices)  # type: ignore[arg-type]
            for server in servers
        ]
        return Attached(
            LocalPerformer(lambda: endpoints, self.results, self.job.limits), RunStore(self.results)
        )

    def run(self, script: Any, **options: Any) -> WorkerResult:
        self.server = self.serve(script, **options)
        worker = self.worker(self.server)
        worker.start(self.job)
        return worker.collect(self.job)

    def resume(self, script: Any, message: str) -> WorkerResult:
        self.server = self.serve(script)
        worker = self.worker(self.server)
        worker.resume(self.job, message)
        return worker.collect(self.job)

    def sent(self, number: int = -1) -> list[dict[str, Any]]:
        """The messages of one request to the model."""
        assert self.server is not None
        messages: list[dict[str, Any]] = self.server.asked[number].body["messages"]
        return messages

    def told(self, number: int = -1) -> str:
        """What the model was told last, in one request."""
        return str(self.sent(number)[-1]["content"])

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        return [event for event in transcript.read(self.job.folder) if not kind or event["event"] == kind]

    def file(self, name: str) -> Path:
        return self.job.workspace.checkout / name

    def inspect(self) -> Inspection:
        """What the runner would find. New files count as changed ones, that most tests need no second
        `finish`."""
        if self.found is not None:
            return self.found
        lines = self.git("status", "--porcelain", "--untracked-files=all").splitlines()
        paths = [line.strip().partition(" ")[2].strip() for line in lines]
        return Inspection(tuple(DiffStat(path, "M", (1, 1)) for path in paths))

    def git(self, *arguments: str) -> str:
        done = proc.run(
            ["git", "-c", "safe.directory=*", *arguments],
            timeout=20,
            cwd=self.job.workspace.checkout,
            uid=self.job.workspace.uid,
            env=proc.minimal_environment(
                HOME="/nonexistent",
                GIT_AUTHOR_NAME="t",
                GIT_AUTHOR_EMAIL="t@t",
                GIT_COMMITTER_NAME="t",
                GIT_COMMITTER_EMAIL="t@t",
            ),
        )
        assert done.ok, done.err
        return done.out.strip()


@pytest.fixture
def bench(tmp_path: Path, workspaces: Path, model_server: Callable[..., DemoModel]) -> Bench:
    uid = UID if os.getuid() == 0 else None
    space = Workspace(workspaces / "w", uid)
    for folder in (space.root, space.checkout, space.home, space.tmp):
        folder.mkdir()
        if uid is not None:
            os.chown(folder, uid, uid)
    run_folder = tmp_path / "results" / "runs" / "r1"
    run_folder.mkdir(parents=True)
    run = some_run(id="r1", issue=3, host=os.uname().nodename, pid=os.getpid(), started_at=datetime.now(UTC))
    repo = RepoConfig(name="octo/widgets")
    forge = ForgeThatReads()
    job = Job(
        run=run,
        prompt=Prompt("You fix issues.", "Fix issue 3."),
        workspace=space,
        sandbox=sandbox.make(SandboxConfig()),
        network=False,
        limits=Limits(silence_seconds=5.0),
        repo_config=repo,
        forge=forge,  # type: ignore[arg-type]
        folder=run_folder,
        watch=lambda: "",
        inspect=lambda: made.inspect(),
    )
    made = Bench(job, tmp_path / "results", forge, model_server)
    made.git("init", "-q", "-b", "main")
    made.git("commit", "-q", "--allow-empty", "-m", "first")
    made.job = replace(job, run=replace(run, base_sha=made.git("rev-parse", "HEAD")))
    return made


def arguments(**values: Any) -> str:
    return json.dumps(values)


def contents(messages: Sequence[Mapping[str, Any]], role: str) -> list[str]:
    return [str(message["content"]) for message in messages if message["role"] == role]
