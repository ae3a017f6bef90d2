"""Hermes by its own agent server, which works on this machine itself, outside our sandbox.

`POST /v1/chat/completions` is no model there but a whole agent: one streamed request is one stretch of work,
and closing it is its end. What it made leaves the workspace like anybody's work, by the sandboxed export.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Sequence
from pathlib import PurePosixPath

import requests
from msgspec.structs import replace

from sprint import __version__, progress, transcript
from sprint.clean_text import safe_line
from sprint.config import HermesWorkerConfig
from sprint.domain import Completed, Ending, Secret, Usage, WorkerResult, Workspace
from sprint.errors import ConfigError, ModelError, ModelTrouble, SprintError, Stopped
from sprint.model.event_stream import TooLong, events
from sprint.model.transport import Line, Transport, pieces
from sprint.model.watchdog import Wait, Watchdog
from sprint.sinks import copy
from sprint.sprite.detector import Silence
from sprint.worker import Job
from sprint.worker.agents import hermes, state
from sprint.worker.agents.hermes_stream import Reader
from sprint.worker.agents.performer import LOG, TURNS, AgentPerformer, over
from sprint.worker.agents.story import Story
from sprint.worker.agents.way import Route

OURS = "server:"  # before the name of a session that is the server's
_SESSION_HEADER = "x-hermes-session-id"
_MODEL = "hermes-agent"
_HEALTH_SECONDS = 3.0
_PATH = "/v1/chat/completions"
_LOG_CAP = 64_000_000
_ERROR_BYTES = 65_536
_TROUBLES = {401: ModelTrouble.REFUSED, 403: ModelTrouble.REFUSED, 429: ModelTrouble.BUSY}


def health(url: str) -> str | None:
    """The version of the server that answers there, "" where it does not tell, None where none answers."""
    try:
        answer = requests.get(f"{url}/health", timeout=_HEALTH_SECONDS, allow_redirects=False)
        told = answer.json() if answer.ok else None
    except (requests.RequestException, ValueError):
        return None
    return str(told.get("version") or "") if isinstance(told, dict) else None


class ServerPerformer(AgentPerformer):
    """See Performer. `key` opens the server; where its answer is empty, `cli` does the work instead."""

    def __init__(
        self, config: HermesWorkerConfig, route: Route, key: Secret | None, cli: AgentPerformer
    ) -> None:
        super().__init__(hermes, config, route)
        self._url = config.server.rstrip("/")
        self._key = key
        self._cli = cli

    def check(self) -> None:
        """Raises ConfigError or ModelError where the server could not be asked now."""
        if self._key is None:
            raise ConfigError(
                "worker hermes: its server wants a key; set API_SERVER_KEY, or server_key_file of that worker"
            )
        if health(self._url) is None:
            raise ModelError(
                f"hermes' server does not answer at {self._url}; start it: `hermes gateway run`",
                ModelTrouble.AWAY,
            )

    def secrets(self) -> Sequence[Secret]:
        return [self._key] if self._key else []

    def version(self) -> str:
        return health(self._url) or ""

    def _start(self, job: Job, prompt: str, session: str = "") -> tuple[WorkerResult, int]:
        kept = state.load(job.folder)
        left = job.limits.minutes * 60 - kept.seconds
        if left <= 0 or transcript.usage(job.folder)[0].turns >= job.limits.turns:
            return WorkerResult(Ending.LIMIT, detail=over(job, is_time=left <= 0)), 0
        talk = _Talk(job, self._url, self._key or Secret(""), left)
        done = talk.have(_on_this_machine(job, prompt), session.removeprefix(OURS))
        _give_back(job.workspace)
        result = self._judged(job, talk, talk.story, done)
        if result.ending is Ending.IMPLEMENTED and not result.summary and not talk.story.steps:
            transcript.append(job.folder, "note", text="its answer was empty: the command line does it")
            self._cli.check()
            return self._cli._start(job, prompt)
        return result, talk.story.steps


class _Talk:
    """One request to the server, and how it ended."""

    model = _MODEL

    def __init__(self, job: Job, url: str, key: Secret, left: float) -> None:
        self._job = job
        self._url = url
        self._key = key
        self._reader = Reader()
        self._state = state.load(job.folder)
        self._began = time.monotonic()
        self._deadline = self._began + left
        self._fault: ModelError | None = None
        self._reason = ""  # why it is cut off
        self._stopped: Stopped | None = None
        silence = Silence(warn=Silence().in_call, stop=Silence().in_call)
        self.story = Story(job.folder, self._reader, self, silence, lambda session: None, is_estimated=True)

    # --- what is asked of a way

    def calls(self) -> int:
        return 0

    def usage(self) -> Usage:
        return self._reader.usage

    def over(self) -> str:
        return ""

    def fault(self) -> ModelError | None:
        return self._fault

    # --- the request

    def have(self, prompt: str, session: str) -> Completed:
        """Ask, and listen to the end. Raises Stopped where the runner itself has to stop."""
        job = self._job
        progress.append(job.folder, "time", seconds_left=self._deadline - time.monotonic())
        body = {"model": _MODEL, "stream": True, "messages": [{"role": "user", "content": prompt}]}
        transport, line = Transport(self._url), Line()
        wait = Wait(job.limits.first_token_seconds, Silence().in_call, self._deadline, self._is_unwanted)
        try:
            with Watchdog(line.cut, wait) as watchdog:
                self._listen(transport, line, json.dumps(body).encode(), session, watchdog)
        finally:
            transport.close()
            seconds = self._state.seconds + time.monotonic() - self._began
            self._state = replace(self._state, seconds=seconds)
            state.save(job.folder, self._state)
        if self._stopped is not None:
            raise self._stopped
        self.story.close("", "", 0)
        if time.monotonic() >= self._deadline:
            self._reason = "timeout"
        if not self._reason and self.story.ended is None and self._fault is None:
            why = watchdog.fault.reason if watchdog.fired else "its answer was cut off"
            self._fault = ModelError(f"hermes' server: {why}", ModelTrouble.AWAY)
        return Completed(0, b"", b"", time.monotonic() - self._began, self._reason)

    def _listen(
        self, transport: Transport, line: Line, body: bytes, session: str, watchdog: Watchdog
    ) -> None:
        headers = {"content-type": "application/json", "user-agent": f"sprint/{__version__}"}
        if key := self._key.reveal():
            headers["authorization"] = f"Bearer {key}"
        if session:
            headers[_SESSION_HEADER] = session
        try:
            with (
                transport.asked(line, _PATH, headers, body) as answer,
                (self._job.folder / LOG).open("ab", buffering=0) as file,
            ):
                watchdog.alive()
                if answer.status != 200:
                    self._refused(answer.status, answer.read(_ERROR_BYTES).decode("utf-8", "replace"))
                    return
                self._note_session(answer.headers.get(_SESSION_HEADER) or "")
                log = copy(file, _LOG_CAP)
                for event in events(pieces(answer, watchdog.alive)):
                    log(event.raw)
                    if event.text and not event.is_done:
                        watchdog.heard()
                        self.story.line(event.text)
        except (OSError, http.client.HTTPException, TooLong) as error:
            if not watchdog.fired and self.story.ended is None:
                words = safe_line(str(error)) or type(error).__name__
                self._fault = ModelError(f"hermes' server at {self._url}: {words}", ModelTrouble.AWAY)

    def _refused(self, status: int, body: str) -> None:
        says = "it refuses API_SERVER_KEY" if status in (401, 403) else safe_line(body, 200)
        kind = _TROUBLES.get(status, ModelTrouble.AWAY)
        self._fault = ModelError(f"hermes' server at {self._url}: HTTP {status}: {says}", kind)

    def _note_session(self, session: str) -> None:
        if session:
            self._state = replace(self._state, session=f"{OURS}{session}")
            state.save(self._job.folder, self._state)

    def _is_unwanted(self) -> bool:
        """Asked twice a second, from another thread."""
        try:
            reason = self._job.watch()
        except Stopped as stopped:
            self._stopped = stopped
            return True
        if not reason and self.story.turns > self._job.limits.turns:
            reason = TURNS
        self._reason = self._reason or reason or self.story.stop
        return bool(self._reason)


def _on_this_machine(job: Job, prompt: str) -> str:
    """The same task for one who sees this machine as it is, and not our sandbox."""
    inside = str(PurePosixPath(job.sandbox.inside(job.workspace)).parent)
    checkout = str(job.workspace.checkout)
    told = prompt.replace(f"{inside}/", f"{job.workspace.root}/")
    return f"Work in {checkout}, and change nothing outside of it: `cd {checkout}` first.\n\n{told}"


def _give_back(space: Workspace) -> None:
    """What the server wrote as another user is the workspace's again; links are not followed."""
    if space.uid is None:
        return
    for top in (space.checkout, space.tmp):
        for _, folders, names, handle in os.fwalk(top, follow_symlinks=False):
            for name in (*folders, *names):
                try:
                    os.chown(name, space.uid, space.uid, dir_fd=handle, follow_symlinks=False)
                except OSError as error:
                    raise SprintError(f"{top}: cannot be given back: {error.strerror}") from error
