"""Does what the model calls for: commands and files in the sandbox, forge and guides by the runner."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

from msgspec import UNSET, Struct

from sprint import proc, progress
from sprint.clean_text import clean, fence
from sprint.domain import CheckStatus, Completed, replace
from sprint.errors import ForgeError
from sprint.resources import Skill
from sprint.sandbox import Command
from sprint.sandbox.script import NESTED
from sprint.terminal_text import decoded
from sprint.worker import Job, review
from sprint.worker.local import finish_checks, offer
from sprint.worker.local.check_watch import MARKING, CheckWatch
from sprint.worker.local.file_tools import FileTools
from sprint.worker.local.output import LONGEST, OutputBudget, Outputs
from sprint.worker.local.tools import (
    BadCall,
    Call,
    EditFile,
    Finish,
    ForgeApi,
    ReadFile,
    ReadSkill,
    RunCommand,
    Search,
    WriteFile,
)

_OUTPUTS = "tmp/outputs"  # below the workspace
_LONGEST_STRING = 20_000  # of what the forge sends
# Both streams as they came, as in a terminal; the exit code is the command's own.
_ONE_STREAM = "exec 2>&1; "
# Without a network npm tries again for minutes what every model tries once.
_OFFLINE = {"npm_config_fetch_retries": "0", "PIP_RETRIES": "0", "UV_HTTP_RETRIES": "0"}


class Result(Struct, frozen=True):
    """What a call gave. `mistake` is the kind of a refused call; the other fields are a command's."""

    text: str
    mistake: str = ""
    seconds: float = 0.0
    exit_code: int | None = None
    killed_by: str = ""
    output: str = ""  # the whole output's file, below the run's folder
    edited: str = ""  # the path that was written
    finish: Finish | None = None

    @property
    def failure(self) -> str:
        """The last line of what a failed command said."""
        if self.exit_code in (None, 0) and not self.killed_by:
            return ""
        lines = self.text.rsplit("\n[", 1)[0].strip().split("\n")
        return f"{self.killed_by or self.exit_code} {lines[-1][-200:]}" if lines[-1] else ""


class Toolbox:
    """The tools of one run. `seconds_left` is the run's own remaining time."""

    def __init__(
        self,
        job: Job,
        seconds_left: Callable[[], float],
        outputs_so_far: int,
        skills: dict[str, Skill],
        *,
        is_reviewed: bool = False,
    ) -> None:
        self._job = job
        self._seconds_left = seconds_left
        self._shell = "bash" if proc.find("bash") else "sh"
        self._files = FileTools(self._script, self._shell)
        self.outputs = Outputs(
            job.folder / "outputs", self._put_inside, job.limits.kept_mb * 1_000_000, outputs_so_far
        )
        self._skills = skills
        self._nonce = secrets.token_hex(8)
        self._pulse = progress.Pulse(job.folder)
        runnable = [check for check in job.run.base_checks if check.status is not CheckStatus.NOT_RUN]
        self._checks = CheckWatch([check.command for check in runnable], self._script)
        self.is_reviewed = is_reviewed
        self.is_as_inspected = False  # what was handed in is what was looked at last
        self.definitions = offer.tools(skills)

    @property
    def usual_command(self) -> Command:
        """What the model's commands are like, without their words."""
        return Command([self._shell, "-c", ""], timeout=1, network=self._job.network)

    def do(self, call: Call, budget: OutputBudget) -> Result:
        """Do one call. What is wrong with it is for the model, in the result. Raises SandboxError."""
        started = time.monotonic()
        try:
            result = _ACTIONS[type(call)](self, call, budget)
        except BadCall as error:
            result = Result(str(error), mistake=f"{type(call).__name__}: {error.kind}")
        return replace(result, seconds=time.monotonic() - started)

    def _run_command(self, call: RunCommand, budget: OutputBudget) -> Result:
        if "\0" in call.command:
            raise BadCall("NUL in a command", "A command cannot hold a NUL character.")
        limit = self._job.limits.command_seconds
        wanted = limit if call.timeout is UNSET else call.timeout
        timeout = max(min(wanted, limit, self._seconds_left()), 1.0)
        path = self.outputs.new()
        check = self._checks.seen(call.command)
        argv = [self._shell, "-c", _ONE_STREAM + call.command]
        env = {} if self._job.network else dict(_OFFLINE)
        if check is not None:
            argv = [self._shell, "-c", MARKING, self._shell, str(check)]
            env[NESTED] = call.command
        progress.append(self._job.folder, "doing", what="tool", text=call.command, seconds=timeout)
        done = self._job.sandbox.run(
            Command(
                argv,
                timeout=timeout,
                network=self._job.network,
                env=env,
                output_cap=8 * LONGEST,
                output_file=path if self.outputs.has_room() else None,
                watch=self._job.watch,
                on_line=self._pulse.line,
            ),
            self._job.workspace,
        )
        self._checks.done(check, is_whole=not done.killed_by)
        text = decoded(done.stdout + done.stderr).rstrip("\n")
        shown = self.outputs.shown(text, path, budget, is_whole=not done.truncated)
        if shown == text:
            path.unlink(missing_ok=True)
        status = _status(done, timeout, wanted > limit)
        kept = f"outputs/{path.name}" if path.exists() else ""
        return Result(
            f"{shown}\n{status}" if shown else status,
            exit_code=done.exit_code,
            killed_by=done.killed_by,
            output=kept,
        )

    def _read_file(self, call: ReadFile, budget: OutputBudget) -> Result:
        return Result(budget.take(self._files.read(call, budget.share())))

    def _search(self, call: Search, budget: OutputBudget) -> Result:
        return Result(budget.take(self._files.search(call, budget.share())))

    def _write_file(self, call: WriteFile, budget: OutputBudget) -> Result:
        self._checks.done(None)
        return Result(self._files.write(call), edited=call.path)

    def _edit_file(self, call: EditFile, budget: OutputBudget) -> Result:
        self._checks.done(None)
        return Result(self._files.edit(call), edited=call.path)

    def _forge_api(self, call: ForgeApi, budget: OutputBudget) -> Result:
        params = (
            {} if call.params is UNSET else {key: _parameter(value) for key, value in call.params.items()}
        )
        try:
            data = self._job.forge.read(self._job.run.repo, call.path, params)
        except ForgeError as error:
            raise BadCall("the forge refused", str(error)) from error
        text = json.dumps(_cleaned(data), ensure_ascii=False, indent=1)
        path = self.outputs.new()
        if self.outputs.has_room():
            path.write_text(text, "utf-8", "replace")
        shown = self.outputs.shown(text, path, budget, is_whole=True)
        if shown == text:
            path.unlink(missing_ok=True)
        return Result(fence(shown, f"the forge's answer to {call.path[:100]!r}", self._nonce))

    def _read_skill(self, call: ReadSkill, budget: OutputBudget) -> Result:
        if not self._skills:
            raise BadCall("no guides", "There are no guides here.")
        skill = self._skills.get(call.name)
        if skill is None:
            raise BadCall(
                "no such guide",
                f"There is no guide {call.name[:80]!r}; there are: {', '.join(self._skills)}.",
            )
        return Result(budget.take(skill.text))

    def _finish(self, call: Finish, budget: OutputBudget) -> Result:
        if call.status == "question" and not call.question.strip():
            raise BadCall("no question", "A finish with status question needs the question itself.")
        if call.status == "already_fixed":
            commit = finish_checks.commit_in_history(self._git, call.commit, self._job.run.base_sha)
            call = replace(call, commit=commit)
        if call.status == "implemented" and not self.is_reviewed:
            self.is_reviewed = True
            if told := self._review():
                return Result(budget.take(told))
            self.is_as_inspected = True
        return Result("Handed in.", finish=call)

    def _review(self) -> str:
        """What a reviewer would see; "" where that holds no surprise."""
        found = self._job.inspect()
        checks = self._checks.runs([change.path for change in found.changes])
        return "" if review.is_plain(found, checks) else review.text(found, checks, "call `finish` again")

    def has_changes(self) -> bool:
        """Whether there would be something to hand in."""
        return bool(self._job.inspect().changes)

    def _git(self, *arguments: str) -> Completed:
        return self._script(["git", *arguments], b"", 60.0, 2_000_000)

    def _script(self, argv: Sequence[str], stdin: bytes, timeout: float, cap: int) -> Completed:
        return self._job.sandbox.run(
            Command(argv, timeout=timeout, stdin=stdin, output_cap=cap), self._job.workspace
        )

    def _put_inside(self, name: str, data: bytes, *, append: bool) -> str:
        root = PurePosixPath(self._job.sandbox.inside(self._job.workspace)).parent
        path = str(root / _OUTPUTS / name)
        return path if self._files.put(path, data, append=append) else ""


_ACTIONS: dict[type[Call], Callable[[Toolbox, Any, OutputBudget], Result]] = {
    RunCommand: Toolbox._run_command,
    ReadFile: Toolbox._read_file,
    Search: Toolbox._search,
    WriteFile: Toolbox._write_file,
    EditFile: Toolbox._edit_file,
    ForgeApi: Toolbox._forge_api,
    ReadSkill: Toolbox._read_skill,
    Finish: Toolbox._finish,
}


def _status(done: Completed, timeout: float, was_clipped: bool) -> str:
    if done.killed_by == "timeout":
        above = "; no command gets more" if was_clipped else ""
        return f"[killed after {timeout:g} s{above}]"
    if done.killed_by:
        return f"[killed: {done.killed_by}]"
    return f"[exit code {done.exit_code}]"


def _parameter(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cleaned(value: Any) -> Any:
    """The forge's data with every text in it cleaned of what a reader would not see."""
    if isinstance(value, str):
        return clean(value, _LONGEST_STRING)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _cleaned(item) for key, item in value.items()}
    return value
