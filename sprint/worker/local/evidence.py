"""What the loop writes into the transcript."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import structs

from sprint import transcript
from sprint.domain import WorkerResult
from sprint.model import Reply, ToolCall
from sprint.model.reply import shown_url
from sprint.worker.local.toolbox import Result


def reply(folder: Path, turn: int, answer: Reply) -> None:
    transcript.append(
        folder,
        "assistant",
        turn=turn,
        content=answer.content,
        reasoning=answer.reasoning,
        finish_reason=answer.finish_reason,
        tool_calls=[structs.asdict(call) for call in answer.tool_calls],
        usage={key: value for key, value in structs.asdict(answer.usage).items() if key != "turns"},
        estimated=answer.estimated,
        model=answer.endpoint.name,
        url=shown_url(answer.endpoint.base_url),
        seconds=round(answer.seconds, 3),
    )


def result(folder: Path, turn: int, call: ToolCall, given: Result) -> None:
    of_command: dict[str, Any] = {}
    if given.exit_code is not None:
        of_command = {"exit_code": given.exit_code, "killed_by": given.killed_by, "output": given.output}
    transcript.append(
        folder,
        "tool",
        turn=turn,
        id=call.id,
        name=call.name,
        text=given.text,
        seconds=round(given.seconds, 3),
        error=given.mistake,
        **of_command,
    )


def end(folder: Path, ended: WorkerResult) -> None:
    transcript.append(folder, "end", ending=ended.ending, summary=ended.summary, detail=ended.detail)
