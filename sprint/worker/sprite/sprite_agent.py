"""The agent of a sprite's worker: its program, its model and the way to that, as what is to be started."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sprint import callbacks, credentials, spend, transcript
from sprint.budget import UNKNOWN_PRICE
from sprint.config import (
    AgentWorkerConfig,
    BackendConfig,
    SpriteWorkerConfig,
    SshBackendConfig,
    agent_of_kind,
)
from sprint.domain import Endpoint, Run, Secret, replace
from sprint.errors import ConfigError, SprintError
from sprint.gateway import DOORS, INSIDE, entrance, own_process
from sprint.gateway.models.provider import misplaced
from sprint.sprite import on_machine
from sprint.worker import Job, Services
from sprint.worker.agents.agent_kind import AgentKind, Assignment, Launch, by_file
from sprint.worker.agents.catalogue import AGENTS
from sprint.worker.agents.model_way import beginning_with
from sprint.worker.agents.programs import Program
from sprint.worker.handover import Places
from sprint.worker.sprite import forward, public_way
from sprint.worker.sprite.ground import Ground, is_here

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """What the supervisor is to start. `env` and `files` may hold a key, and go by files that others cannot
    read; `files` are put below the agent's home, by their path from there. `enter` are words before the
    supervisor, `read_only` what of the machine has to be shown for it, `shown` what is shown where it is.
    `fallbacks` are started in turn in place of `argv` after failures; `ceilings` are flags by which the
    supervisor holds limits. `callback` is the address to be told of its end, "" for none: by the supervisor
    or, where a sandbox is around that, by whoever started it."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    kind: str = "command"
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    enter: Sequence[str] = ()
    read_only: Mapping[Path, str] = field(default_factory=dict)
    shown: Sequence[str] = ()
    fallbacks: Sequence[Sequence[str]] = ()
    ceilings: Mapping[str, str] = field(default_factory=dict)
    callback: str = ""


class Agent:
    """The agent of a worker's section."""

    def __init__(self, config: SpriteWorkerConfig, backend: BackendConfig, services: Services) -> None:
        self._config = config
        self._backend = backend
        self._services = services

    @property
    def kind(self) -> AgentKind | None:
        """None: a command."""
        section = self._section
        return AGENTS[type(section)] if section else None

    @property
    def _section(self) -> AgentWorkerConfig | None:
        found = agent_of_kind(self._config.agent)
        return found and type(found)(program=self._config.program)

    def programs(self) -> list[str]:
        """What has to be on the sprite's PATH, or where it says."""
        if self.kind is None or self._is_here():
            return []
        return [self._config.program or self.kind.INSTALL.command]

    def check(self) -> None:
        """See that it could be started, as far as this machine can tell. Raises SprintError."""
        self.git_token()
        if self.kind is None:
            return
        section = self._section
        assert section is not None
        if self._is_here():
            self.kind.find(section)
        if self._config.key == "gateway":
            if not (self._is_here() or isinstance(self._backend, SshBackendConfig)):
                public_way.check(self._services.config.public, self._services.around)
            from sprint.worker.agents.way import route

            route(self._services, self._config.price).check(self.kind.DIALECT, self._config.model)
            return
        endpoint = replace(self._endpoints()[0], key=self._key())
        if why := misplaced(endpoint):
            raise ConfigError(f"worker with key_file, model {endpoint.name}: {why}")
        if self.kind.DIALECT != "messages" and not endpoint.base_url.rstrip("/").endswith("/v1"):
            raise ConfigError(
                f"worker with key_file, model {endpoint.name}: {self.kind.NAME} asks below /v1, and "
                f"{endpoint.base_url} does not end so"
            )

    def _is_here(self) -> bool:
        return is_here(self._backend)

    def secrets(self) -> Sequence[Secret]:
        keys = [self._key()] if self.kind and self._config.key == "file" else []
        return [*keys, *filter(None, [self.git_token()])]

    def git_token(self) -> Secret | None:
        """What fetches the repository there; None where it comes as a bundle. Raises ConfigError."""
        file = self._config.git_token_file
        return credentials.token_in_file(Path(file), "workers: git_token_file").secret if file else None

    def version(self) -> str:
        section = self._section
        return self.kind.find(section).version if self.kind and section and self._is_here() else ""

    def endpoints(self) -> Sequence[Endpoint]:
        """The models that are asked there, in turn, and whose price counts; none where none is known."""
        try:
            return self._endpoints() if self.kind else ()
        except SprintError:
            return ()

    def files(self) -> list[str]:
        """What `start` puts below the agent's home."""
        kind, section = self.kind, self._section
        if kind is None or section is None:
            return []
        nothing = Assignment((), "", "", "", "", "", 0)
        return list(kind.launch(nothing).files)

    def start(self, job: Job, ground: Ground) -> Start:
        """What to start in that place. Raises SprintError where its model has no way there."""
        kind, section = self.kind, self._section
        if kind is None or section is None:
            return self._start_of_command(job, ground)
        program = kind.find(section) if ground.confined else _there(kind, section)
        base_url, key, models, door = self._way(job, kind, ground)
        work = Assignment(
            program=program.argv,
            prompt="-",
            base_url=base_url,
            key=key,
            model=models[0],
            home=f"{ground.root}/home",
            max_turns=job.limits.turns,
        )
        if not kind.launch(work).stdin:
            work = replace(work, prompt=by_file(f"{ground.root}/task/prompt.md"))
        launch = kind.launch(work)
        env = {**launch.env} | ({} if ground.held else {"HOME": work.home})
        others = [kind.launch(replace(work, model=model)) for model in models[1:]]
        start = Start(
            launch.argv,
            env,
            kind.NAME,
            launch.files,
            read_only=program.read_only,
            shown=_folders(section),
            # With files of its own each would need a home of its own.
            fallbacks=[_in_its_place(launch, other) for other in others if not other.files],
            ceilings=self._ceilings(job) if self._config.key == "file" else {},
            callback=self._callback(job),
        )
        if door:
            words = (
                "python3",
                f"../task/{on_machine.RELAY}",
                str(DOORS["model"]),
                f"{INSIDE}/{forward.SOCKET}",
            )
            return replace(start, enter=words, read_only={Path(door): INSIDE})
        if self._config.key != "gateway" or not ground.confined:
            return start
        enter, shown = entrance()
        folder = self._services.store.folder(job.run.id) / own_process.FOLDER / "inside"
        return replace(start, enter=enter, read_only={**program.read_only, **shown, folder: INSIDE})

    def _start_of_command(self, job: Job, ground: Ground) -> Start:
        places = Places.below(ground.root)
        env = {"SPRINT_SUMMARY": places.summary, "SPRINT_QUESTION": places.question}
        env["SPRINT_PROMPT"] = f"{ground.root}/task/prompt.md"
        if (callback := self._callback(job)) and not ground.held:
            key_file = f"{ground.root}/task/{callbacks.KEY}"
            env |= {"WEBHOOK_URL": callback, "WEBHOOK_SECRET_FILE": key_file, "SPRINT_RUN": job.run.id}
        return Start(["/bin/sh", "-c", self._config.command], env, callback=callback)

    def _callback(self, job: Job) -> str:
        url = self._services.config.public.url
        return public_way.callback(url, job.run) if url else ""

    def _way(self, job: Job, kind: AgentKind, ground: Ground) -> tuple[str, str, Sequence[str], str]:
        """The model's address as seen there, the key that opens it, its name and those of its fallbacks (a
        gateway has its own); the folder there of a socket that leads to it, where the sandbox is to be shown
        one."""
        if self._config.key == "gateway":
            services = self._services
            folder = own_process.start(services.config, job.run, kind.DIALECT, services.around)
            known, port, door = own_process.key_of(folder), DOORS["model"], ""
            if isinstance(self._backend, SshBackendConfig):
                has_loopback = ground.boxed and not ground.network
                way = forward.start(
                    job.run, job.folder, self._backend, services.around, by_socket=has_loopback
                )
                port, door = way.port or port, way.folder
            elif not ground.confined:
                return public_way.gateway(services.config.public.url, job.run), known.key, [known.model], door
            return f"http://127.0.0.1:{port}", known.key, [known.model], door
        endpoints = self._endpoints()
        address = endpoints[0].base_url.rstrip("/").removesuffix("/v1")
        return address, self._key().reveal(), [endpoint.name for endpoint in endpoints], ""

    def kept(self, job: Job) -> float | None:
        """The dollars of the fleet's ceiling, from the run's beginning, that it is ended by there; None where
        its own limit comes first, or none is held there. Raises SprintError where that cannot be told."""
        if self.kind is None or self._config.key != "file" or job.limits.usd_per_day is None:
            return None
        usd = job.kept()
        return usd if usd < (job.limits.usd or math.inf) else None

    def _ceilings(self, job: Job) -> Mapping[str, str]:
        """What is left of the run's limits and of the day's, which no gateway holds."""
        limits, spent, endpoint = job.limits, job.run.spent, self._endpoints()[0]
        flags = {}
        if limits.tokens is not None:
            left = limits.tokens - spent.prompt_tokens - spent.completion_tokens
            flags["--max-tokens"] = str(max(left, 1))
        fresh, written = endpoint.input_price, endpoint.output_price
        if fresh is None or written is None:
            transcript.append(job.folder, "note", text=UNKNOWN_PRICE)
            return flags
        cached = fresh if endpoint.cached_price is None else endpoint.cached_price
        flags["--prices"] = f"{fresh:g},{cached:g},{written:g}"
        dollars = []
        if limits.usd is not None:
            dollars.append(limits.usd - (spent.cost_usd or 0.0))
        if (kept := self.kept(job)) is not None:
            dollars.append(kept - (spent.cost_usd or 0.0))
        if limits.usd_per_day is not None:
            dollars.append(limits.usd_per_day - spend.spent_today(self._services.results))
        return {**flags, "--max-usd": f"{max(min(dollars), 1e-6):.6f}"} if dollars else flags

    def keep_reachable(self, run: Run) -> None:
        """Have the gateway of a run answer again that this machine's going down took away, where the agent is
        elsewhere and goes on. What fails here is tried again by the next tick."""
        kind, services = self.kind, self._services
        folder = services.store.folder(run.id)
        if kind is None or self._config.key != "gateway" or self._is_here():
            return
        try:
            own_process.start(services.config, run, kind.DIALECT, services.around)
            if isinstance(self._backend, SshBackendConfig):
                forward.start(run, folder, self._backend, services.around)
        except SprintError as error:
            _log.warning("run %s: its agent cannot reach its model: %s", run.id, error)

    def _endpoints(self) -> Sequence[Endpoint]:
        """The first is the worker's; the others are those of the same server, which the one key opens."""
        found = beginning_with(self._services.endpoints(), self._config.model, self._config.price)
        if not found:
            raise ConfigError("no model is configured: set `model:`")
        return [one for one in found if one.base_url == found[0].base_url]

    def _key(self) -> Secret:
        return credentials.token_in_file(Path(self._config.key_file), "workers: key_file").secret


def _there(kind: AgentKind, section: AgentWorkerConfig) -> Program:
    return Program((section.program or kind.INSTALL.command,), {})


def _in_its_place(first: Launch, other: Launch) -> list[str]:
    """The words that start another model's agent where the first one's variables are set already."""
    changed = [f"{name}={value}" for name, value in other.env.items() if first.env.get(name) != value]
    return ["env", *changed, *other.argv]


def _folders(section: AgentWorkerConfig) -> Sequence[str]:
    """Where a program is that is named by its path."""
    return (str(Path(section.program).parent),) if "/" in section.program else ()
