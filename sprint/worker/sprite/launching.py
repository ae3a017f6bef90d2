"""Starts an agent under its supervisor on a sprite, with its task and what an operator asks besides."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sprint import callbacks
from sprint.clean_text import safe_line
from sprint.domain import Secret
from sprint.errors import ConfigError
from sprint.sprite import on_machine
from sprint.sprite.validation import read_env_file
from sprint.sprite.visit import Visit
from sprint.worker import Job
from sprint.worker.sprite import note as notes
from sprint.worker.sprite.asked import Asked
from sprint.worker.sprite.ground import ROOT, Ground
from sprint.worker.sprite.note import Note
from sprint.worker.sprite.sending import remote_url
from sprint.worker.sprite.sprite_agent import Start

_RESTARTS = 2
_FRESH = (
    ("repo", ".bb-agent", "state.json"),
    ("tmp", "handover", "summary.md"),
    ("tmp", "handover", "question.md"),
)


@dataclass(frozen=True)
class Supervision:
    """What else an operator may ask of the supervisor."""

    ralph: bool = False
    iterations: int | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, asked: Asked) -> Supervision:
        """Raises ConfigError where its file of variables does not hold, or not any more."""
        env = read_env_file(Path(asked.env_file)) if asked.env_file else {}
        if asked.section.uses_model and "ANTHROPIC_API_KEY" in env:
            raise ConfigError(
                f"--env-file: {asked.env_file}: the agent has its model's key already, and what asks with "
                "ANTHROPIC_API_KEY is billed by Anthropic: take it out"
            )
        return cls(ralph=asked.ralph, iterations=asked.iterations, env=env)

    @property
    def words(self) -> list[str]:
        most = ["--max-iterations", str(self.iterations)] if self.iterations else []
        return ["--ralph", *most] if self.ralph else []


def launch(
    job: Job,
    visit: Visit,
    ground: Ground,
    note: Note,
    start: Start,
    asked: Supervision = Supervision(),
    token: Secret | None = None,
) -> None:
    """Start it as the note's launch, unless that was started before. Raises BackendError."""
    env = {**start.env, **_git_env(job, token), **asked.env}
    task = _put_programs(visit, ground) | _put_task(job, visit, ground, note, start, env)
    left = (job.run.deadline - datetime.now(UTC)).total_seconds()
    seconds = max(min(job.limits.minutes * 60, left), 30.0)
    most = seconds + 60
    visit.ask(
        "launch",
        run=job.run.id,
        slug=ground.slug,
        number=note.launch,
        cwd=ground.cwd,
        uid=ground.uid,
        seconds=most,
        confine=ground.confine(seconds=most, read_only=start.read_only, shown=start.shown),
        argv=[
            *start.enter,
            *_set_up(job, ground),
            *_supervisor(job, visit.sprite, start, seconds, tells=not ground.held),
            *asked.words,
        ],
        callback=start.callback if ground.held else "",
        fresh=_FRESH,
        task=task,
    )


def _put_programs(visit: Visit, ground: Ground) -> dict[str, str]:
    """What watches over an agent, and what leads to its model; where they are, to their names beside it."""
    names = (on_machine.PROGRAM, *([on_machine.RELAY] if ground.boxed else []))
    for name in names:
        visit.backend.put(visit.sprite, f".sprint/{name}", on_machine.content(name))
    return {f".sprint/{name}": name for name in names}


def _put_task(
    job: Job, visit: Visit, ground: Ground, note: Note, start: Start, env: Mapping[str, str]
) -> dict[str, str]:
    """All that an agent is handed for one launch; where it is, to its name beside the agent."""
    folder = f".sprint/runs/{job.run.id}"
    task: dict[str, str] = {}

    def put(file: str, text: str, name: str) -> None:
        visit.backend.put(visit.sprite, f"{folder}/{file}", text.encode())
        if name:
            task[f"{folder}/{file}"] = name

    prompt = notes.prompt(job.folder, note.launch).read_text("utf-8").replace(ROOT, ground.root)
    put(f"prompt-{note.launch}.md", prompt, "prompt.md")
    put(f"agent-{note.launch}.env", "".join(f"{name}={value}\n" for name, value in env.items()), "agent.env")
    for place, text in enumerate(start.files.values()):
        put(f"home-{note.launch}-{place}", text, f"home-{place}")
    if start.callback:
        # Where the agent is held, the errand makes the call, and the agent gets no key.
        put(callbacks.KEY, callbacks.make_key(job.folder), "" if ground.held else callbacks.KEY)
    return task


def _git_env(job: Job, token: Secret | None) -> dict[str, str]:
    """How an agent with a token fetches from `origin`: by variables, so that no checkout holds any of it."""
    if token is None:
        return {}
    helper = '!f() { [ "$1" != get ] || { echo username=sprint; echo "password=$GH_TOKEN"; }; }; f'
    settings = {
        "credential.helper": helper,
        "remote.origin.url": remote_url(job),
        "remote.origin.fetch": "+refs/heads/*:refs/remotes/origin/*",
    }
    numbered = dict(enumerate(settings.items()))
    names = {f"GIT_CONFIG_KEY_{number}": name for number, (name, _) in numbered.items()}
    values = {f"GIT_CONFIG_VALUE_{number}": value for number, (_, value) in numbered.items()}
    return {"GH_TOKEN": token.reveal(), "GIT_CONFIG_COUNT": str(len(settings)), **names, **values}


# As in a sandbox, where the project's set-up puts its programs; what it downloads is kept in the sprite's own
# home, for the next run. $1 is the agent's home.
_SET_UP = """\
export XDG_CACHE_HOME="$HOME/.cache" npm_config_cache="$HOME/.npm" GOMODCACHE="$HOME/go/pkg/mod"
export npm_config_prefix="$1/.local" GOFLAGS=-modcacherw
export PATH="$1/.venv/bin:$1/.local/bin:$PATH"
timeout 1800 env HOME="$1" sh -ec "$2" >../tmp/set-up.log 2>&1 ||
    printf '\\n\\nSet-up failed on this machine; ../tmp/set-up.log says why.\\n' >>../task/prompt.md
shift 2
exec "$@"
"""


def _set_up(job: Job, ground: Ground) -> list[str]:
    """The words before a supervisor that have the project's set-up run first, where that is not put there."""
    made = job.run.environment
    if not ground.sets_up or made is None or not made.setup:
        return []
    return ["sh", "-c", _SET_UP, "set-up", f"{ground.root}/home", "\n".join([*made.setup, *made.build])]


def _supervisor(job: Job, sprite: str, start: Start, seconds: float, *, tells: bool) -> list[str]:
    """Its words, from the checkout."""
    limits, callback = job.limits, start.callback if tells else ""
    restarts = max(_RESTARTS, len(start.fallbacks) + 1)
    flags = {
        "--name": sprite,
        "--agent": start.kind,
        "--agent-command": shlex.join([*_home(start.files), *start.argv]),
        "--fallback-commands": "\n".join(map(shlex.join, start.fallbacks)),
        "--task-file": "../task/prompt.md",
        "--env-file": "../task/agent.env",
        "--task-repo": job.run.repo,
        "--task-branch": job.run.branch,
        "--task-issue-url": job.run.issue_url,
        "--pass-env": "XDG_CACHE_HOME,npm_config_cache,GOMODCACHE",
        "--timeout": f"{seconds:.0f}s",
        "--stall-timeout": f"{limits.first_token_seconds + limits.silence_seconds:.0f}s",
        "--max-restarts": str(restarts),
        "--callback": callback,
        "--callback-secret-file": f"../task/{callbacks.KEY}" if callback else "",
        "--session": job.run.id if callback else "",
        **start.ceilings,
    }
    words = [word for flag, value in flags.items() if value for word in (flag, value)]
    title = job.run.title if job.run.issue is None else f"{job.run.about} {job.run.title}"
    title = f"--task-title={safe_line(title)}"  # which may begin with a dash
    return ["python3", f"../task/{on_machine.PROGRAM}", "start", "--foreground", title, *words]


def _home(files: Mapping[str, str]) -> list[str]:
    """The words that put these files into the agent's home, from beside the checkout, before it starts."""
    if not files:
        return []
    copies = [
        f'mkdir -p "$HOME/{Path(name).parent}" && cp "../task/home-{place}" "$HOME/{name}"'
        for place, name in enumerate(files)
    ]
    return ["sh", "-c", f'{" && ".join(copies)} && exec "$@"', "sh"]
