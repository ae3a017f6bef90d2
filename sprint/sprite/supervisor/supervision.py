"""One task from its start to its end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sprint.sprite.detector import Detector, Event, Silence
from sprint.sprite.supervisor.agent_output import Reader
from sprint.sprite.supervisor.agent_pipes import Pipes, rest_until
from sprint.sprite.supervisor.agent_program import private
from sprint.sprite.supervisor.agent_settings import Settings
from sprint.sprite.supervisor.fault import Fault
from sprint.sprite.supervisor.own_processes import (
    MARK,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_PDEATHSIG,
    descendants,
    end_all,
    marked,
    prctl,
    reap_adopted,
    usage,
)
from sprint.sprite.supervisor.pid_file import Claim, patience_of
from sprint.sprite.supervisor.state_files import Log, load, now, replace
from sprint.sprite.supervisor.telling import call_back, stay_awake
from sprint.sprite.supervisor.watched_checkout import (
    BLOCKED,
    COMPLETE,
    ONE_SHOT,
    RALPH,
    STATUS,
    WatchedCheckout,
)

OUTCOMES = {
    "completed": 0,
    "failed": 1,
    "timeout": 1,
    "limit": 1,
    "blocked": 2,
    "off_rails": 4,
    "stopped": 130,
}
_BETWEEN_ITERATIONS = 2.0
_AWAKE_SECONDS = 60.0
_BREAKER = (3, 120.0, 120.0, 1800.0)  # exits, within seconds: waits from, to


@dataclasses.dataclass
class _Attempt:
    """One life of the agent. `why`: "" where it ended by itself, else what ended it."""

    code: int = 0
    why: str = ""
    detail: str = ""
    did_something: bool = False


class Supervisor:
    """Runs one task to its end, in this process."""

    def __init__(self, settings: Settings, claim: Claim) -> None:
        self._set = settings
        self._environ = {**settings.env, MARK: claim.mark}  # of all that it starts: a stop finds them by it
        self._claim = claim
        self._log = Log(settings.output_log)
        self._reader = Reader()
        self._began = time.monotonic()
        self._stopping = False
        self._agent: subprocess.Popen[bytes] | None = None
        self._exits: list[float] = []
        self._breaks = 0
        self._repo = WatchedCheckout(settings.repo_dir, self._environ, settings.written)
        self._seen = self._base = ""  # a fingerprint, a commit
        self._wake, self._waker = socket.socketpair()
        self.state: dict[str, Any] = {
            "sprite": settings.sprite,
            "agent": settings.agent,
            "status": "starting",
            "outcome": None,
            "exit_code": None,
            "supervisor_pid": os.getpid(),
            "agent_pid": None,
            "restarts": 0,
            "iteration": 0,
            "started_at": now(),
            "updated_at": now(),
            "last_heartbeat_at": None,
            "last_progress_at": None,
            "last_activity": "",
            "stalled": False,
            "shutdown_grace": settings.grace,
            "last_error": "",
            "has_work": False,
            "stats": self._reader.stats,
            "cached_tokens": 0,
            "fallback": 0,
            "task": {
                "issue_url": settings.issue_url,
                "title": settings.title,
                "prompt": settings.prompt[:500],
                "repo": settings.repo,
                "branch": settings.branch,
            },
        }

    def run(self, begun: Callable[[], None] = lambda: None) -> int:
        """Until the task is done or given up; the exit code. The state says why, whatever happens.

        `begun` is called when the state is this task's and a stop is heeded: who asks before that finds
        the task before this one, or nothing.
        """
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._told_to_stop)
        self._save()
        begun()
        outcome, detail = "failed", "the supervisor failed"
        try:
            self._prepare()
            outcome, detail = self._lives()
        except OSError as error:
            detail = f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")
        finally:
            end_all(self._ours, 0.0)
            self._finish(outcome, detail)
        return OUTCOMES[outcome]

    def _told_to_stop(self, _number: int, _frame: object) -> None:
        self._stopping = True
        with contextlib.suppress(OSError):
            self._waker.send(b"x")

    def _ours(self) -> set[int]:
        reap_adopted(self._agent.pid if self._agent else 0)
        return descendants(os.getpid()) | marked(self._claim.mark)

    def _prepare(self) -> None:
        self._repo.prepare(self._set.branch)
        self._prompt.write_text(self._set.prompt, "utf-8")
        self._base, self._seen = self._repo.head(), self._repo.fingerprint()
        self._save(status="starting")
        self._write_status(None)

    @property
    def _prompt(self) -> Path:
        return self._set.repo_dir / (RALPH if self._set.ralph else ONE_SHOT)

    def _lives(self) -> tuple[str, str]:
        """One attempt after the other: restarts after failures, iterations in a ralph loop."""
        in_a_row = 0
        while True:
            attempt = self._attempt()
            if ended := self._verdict(attempt):
                return ended
            if attempt.why or attempt.code:
                in_a_row = 0 if attempt.did_something else in_a_row + 1
                if in_a_row > self._set.max_restarts:
                    return "failed", f"given up after {in_a_row} failures in a row: {attempt.detail}"
                self.state["restarts"] += 1
                self.state["fallback"] = min(in_a_row, len(self._set.fallback_commands))
                pause = self._pause_before_restart(in_a_row)
                self._save(status=self.state["status"] if attempt.why else "starting")
                self._event("agent.restart", reason=attempt.detail, delay=round(pause, 1))
            else:
                in_a_row, pause = 0, _BETWEEN_ITERATIONS
            if not self._rest(pause):
                return ("stopped", "told to stop") if self._stopping else ("timeout", "its time was up")

    def _verdict(self, attempt: _Attempt) -> tuple[str, str] | None:
        """What the repository says, then what ended the agent, then its exit code; None: once more."""
        if (said := self._repo.says(BLOCKED)) is not None:
            return "blocked", said
        if (said := self._repo.says(COMPLETE)) is not None:
            return "completed", said or self._reader.said[:4000]
        if attempt.why in ("stopped", "timeout", "limit", "off_rails"):
            return attempt.why, attempt.detail
        if self._set.ralph:
            if self.state["iteration"] >= self._set.max_iterations:
                return (
                    "timeout",
                    f"{self.state['iteration']} iterations, and it did not say that it is complete",
                )
            return None
        if not attempt.why and attempt.code == 0:
            return "completed", self._reader.said[:4000]
        return None

    def _pause_before_restart(self, in_a_row: int) -> float:
        """Doubled each time; where exits come fast, the breaker's 2 to 30 minutes."""
        exits, within, least, most = _BREAKER
        at = time.monotonic()
        self._exits = [when for when in self._exits if at - when < within] + [at]
        if len(self._exits) >= exits:
            self._breaks += 1
            return float(min(least * 2 ** (self._breaks - 1), most))
        return float(min(self._set.restart_delay * 2 ** max(0, in_a_row - 1), most))

    def _left(self) -> float:
        return self._began + self._set.timeout - time.monotonic()

    def _rest(self, seconds: float) -> bool:
        """False where there is no time for another attempt after it, or a stop came."""
        until = time.monotonic() + seconds
        if seconds >= self._left():
            return False
        while not self._stopping and (left := until - time.monotonic()) > 0:
            with contextlib.suppress(InterruptedError):
                rest_until(self._wake, left)
        return not self._stopping

    def _attempt(self) -> _Attempt:
        self.state["iteration"] += 1
        limit = min(self._left(), self._set.iteration_timeout if self._set.ralph else self._left())
        silence = Silence(
            warn=min(45.0, self._set.stall / 2), stop=self._set.stall, in_call=4 * self._set.stall
        )
        began = time.monotonic()
        watch = Detector(silence, began)
        before = self._seen
        attempt = _Attempt()
        try:
            self._agent = agent = self._spawn()
        except OSError as error:
            attempt.why, attempt.code = "", 127
            attempt.detail = f"cannot start {self._command()[0]}: {error.strerror}"
            self._save(status="error", last_error=attempt.detail)
            return attempt
        self._save(status="running", agent_pid=agent.pid, stalled=False)
        self._event("agent.started", pid=agent.pid, iteration=self.state["iteration"])
        with contextlib.closing(Pipes(agent, self._wake)) as pipes:
            self._watch(agent, pipes, watch, began + limit, attempt)
        attempt.code = agent.wait()
        self._progress()
        attempt.did_something = self._seen != before
        attempt.detail = attempt.detail or f"it ended with exit code {attempt.code}"
        self._save(agent_pid=None, exit_code=attempt.code, last_error=attempt.detail if attempt.code else "")
        self._event(
            "agent.stopped", reason=attempt.why or "ended", exit_code=attempt.code, detail=attempt.detail
        )
        return attempt

    @property
    def _patience(self) -> float:
        """Seconds that whoever had it stop gives the agent to end."""
        given = load(patience_of(self._set.pid_file)).get("grace")
        return float(given) if isinstance(given, int | float) else self._set.grace

    def _command(self) -> tuple[str, ...]:
        return (self._set.command, *self._set.fallback_commands)[self.state["fallback"]]

    def _spawn(self) -> subprocess.Popen[bytes]:
        def dies_with_us() -> None:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

        with self._prompt.open("rb") as stdin:
            return subprocess.Popen(
                self._command(),
                cwd=self._set.repo_dir,
                env=self._environ,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=dies_with_us,  # noqa: PLW1509 - there is one thread
            )

    def _watch(
        self,
        agent: subprocess.Popen[bytes],
        pipes: Pipes,
        watch: Detector,
        end: float,
        attempt: _Attempt,
    ) -> None:
        """Until the agent is gone, with all that it begot; `attempt.why` says what ended it."""
        due_heartbeat = due_progress = due_awake = 0.0
        while agent.poll() is None:
            at = time.monotonic()
            if at >= due_heartbeat:
                due_heartbeat = at + self._set.heartbeat
                self._heartbeat(agent.pid)
            if at >= due_progress:
                due_progress = at + self._set.progress
                if self._progress():
                    watch.saw(Event("progress", at))
            if at >= due_awake:
                due_awake = at + _AWAKE_SECONDS
                stay_awake()
            if why := self._reason_to_end(pipes, watch, at, end):
                attempt.why, attempt.detail = why
                self._save(status="stopping" if why[0] == "stopped" else "stalled")
                end_all(self._ours, self._patience if why[0] == "stopped" else self._set.grace)
                break
            pipes.wait(min(1.0, due_heartbeat - at, due_progress - at))
        end_all(self._ours, 0.0)  # orphans of an agent that ended
        for stream, line in pipes.rest():
            self._take(stream, line, watch)

    def _reason_to_end(self, pipes: Pipes, watch: Detector, at: float, end: float) -> tuple[str, str] | None:
        if self._stopping:
            return "stopped", "told to stop"
        for stream, line in pipes.lines():
            if stop := self._take(stream, line, watch):
                return "off_rails", stop
        if over := self._over():
            return "limit", over
        if at >= end:
            whole = self._left() <= 0
            return ("timeout", "its time was up") if whole else ("iteration", "the iteration's time was up")
        advice = watch.quiet(at)
        if advice.stop:
            self.state["stalled"] = True
            self._event("agent.stall_detected", detail=advice.stop)
            return "stalled", advice.stop
        return None

    def _over(self) -> str:
        """The limit that is passed by the agent's own count, or ""."""
        tokens = self._reader.stats["inputTokens"] + self._reader.stats["outputTokens"]
        if 0 < self._set.max_tokens <= tokens:
            return f"{tokens} of {self._set.max_tokens} tokens are used"
        usd = self._reader.dollars(self._set.prices)
        if 0 < self._set.max_usd <= usd:
            return f"${usd:.4f} of ${self._set.max_usd:g} are spent"
        return ""

    def _take(self, stream: str, line: bytes, watch: Detector) -> str:
        """Note a line of output; why the agent is off the rails, or ""."""
        self._log.write(stream, line)
        stop = ""
        for event in self._reader.events(line, time.monotonic()):
            self.state["last_activity"] = (event.call or event.kind)[:200]
            stop = stop or watch.saw(event).stop
        return stop

    # What others read

    def _heartbeat(self, agent: int) -> None:
        cpu_seconds, memory_mb = usage(agent)
        self._save(last_heartbeat_at=now())
        self._event(
            "agent.heartbeat",
            uptime=round(time.monotonic() - self._began),
            agent_pid=agent,
            cpu_seconds=cpu_seconds,
            memory_mb=memory_mb,
            branch=self._repo.branch(),
            last_commit=self._repo.head(),
            uncommitted=bool(self._repo.files_changed()),
        )

    def _progress(self) -> bool:
        """Whether the repository is another than at the last look."""
        seen = self._repo.fingerprint()
        if seen == self._seen:
            return False
        self._seen = seen
        changed = self._repo.files_changed()
        self.state["has_work"] = self._repo.head() != self._base or bool(changed)
        self._save(last_progress_at=now())
        self._event(
            "agent.progress",
            branch=self._repo.branch(),
            commits=self._repo.commits_since(self._base),
            files_changed=changed,
            activity=self.state["last_activity"],
        )
        return True

    def _save(self, **changes: Any) -> None:
        self.state.update(changes, updated_at=now(), cached_tokens=self._reader.cached)
        replace(self._set.state_file, self.state)

    def _event(self, kind: str, **more: Any) -> None:
        line = json.dumps({"at": now(), "event": kind, "sprite": self._set.sprite, **more})
        self._set.event_log.parent.mkdir(parents=True, exist_ok=True)
        with self._set.event_log.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _write_status(self, outcome: str | None) -> None:
        settings, state = self._set, self.state
        about = {
            "repo": settings.repo,
            "started": state["started_at"],
            "completed": now() if outcome else None,
            "mode": "ralph" if settings.ralph else "oneshot",
            "task": settings.title or settings.prompt[:500],
            "status": outcome or "running",
            "exit_code": OUTCOMES[outcome] if outcome else None,
        }
        replace(settings.repo_dir / STATUS, about, 0o644)

    def _finish(self, outcome: str, detail: str) -> None:
        status = "error" if outcome == "failed" else "stopped"
        error = "" if outcome == "completed" else detail
        self._save(
            status=status, outcome=outcome, detail=detail[:4000], last_error=error[:4000], agent_pid=None
        )
        self._write_status(outcome)
        stay_awake(for_it=False)
        if self._set.callback:
            self._call_back(outcome, detail)
        patience_of(self._set.pid_file).unlink(missing_ok=True)
        self._set.pid_file.unlink(missing_ok=True)

    def _call_back(self, outcome: str, detail: str) -> None:
        session = self._set.session
        body: dict[str, Any] = {"sessionId": session, "taskId": session}
        if outcome == "completed":
            body |= {"type": "completed", "summary": detail, "stats": self._reader.stats}
        elif outcome == "blocked":
            body |= {"type": "question", "question": detail}
        else:
            body |= {"type": "error", "error": f"{outcome}: {detail}"}
        try:
            secret = private(self._set.callback_secret).strip() if self._set.callback_secret else ""
            call_back(self._set.callback, secret, json.dumps(body).encode())
        except (Fault, OSError, ValueError) as error:
            self._event("agent.callback_failed", detail=str(error)[:500])
