"""What a run can be taken up from: its messages and what it has used, in messages.jsonl.

A line for each turn: what came to the messages (`messages`, from number `at` on) and the other fields as they
are by then. So a turn costs what is new in it, and a process that is killed in the middle of its line loses
that turn alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from sprint import decoding, files, json_file
from sprint.domain import Usage
from sprint.errors import SprintError

NAME = "messages.jsonl"
_OLD_NAME = "messages.json"  # of earlier versions: all of it in one object, written anew each turn
_REMEDY = "remove the run's folder to give it up"


class Conversation(msgspec.Struct, kw_only=True):
    """The messages in the API's shape, and the state of the run's limits.

    `known_usd` are the dollars of the turns whose price is known. `window` in tokens, 0 until it is known.
    `characters_per_token` is what the server's own counts say of this conversation. The first `at` messages
    are in the file as they are.
    """

    messages: list[dict[str, Any]]
    usage: Usage = Usage()
    known_usd: float = 0.0
    seconds: float = 0.0
    outputs: int = 0
    window: int = 0
    characters_per_token: float = 3.5
    model: str = ""
    is_reviewed: bool = False  # it has been shown what a reviewer would see
    at: int = 0

    def save(self, folder: Path) -> None:
        """Add what is new to messages.jsonl, or replace it at once where the first has changed.

        Raises SprintError.
        """
        path, added = folder / NAME, structs.replace(self, messages=self.messages[self.at :])
        if self.at:
            files.add_line(path, msgspec.json.encode(added))
        else:
            json_file.write(path, added, durable=False)
        self.at = len(self.messages)

    def changed(self, number: int = 0) -> None:
        """The message of that number, and maybe those after it, is not as it was saved."""
        self.at = min(self.at, number)

    def tell(self, message: str) -> None:
        """Add what the user says. It joins what the model has not seen yet, since some APIs allow no user's
        message right after a tool's result."""
        last = self.messages[-1] if self.messages else {}
        if last.get("role") in ("tool", "user"):
            last["content"] = f"{last['content']}\n\n{message}"
            self.changed(len(self.messages) - 1)
        else:
            self.messages.append({"role": "user", "content": message})


def begun(system: str, user: str) -> Conversation:
    return Conversation(messages=[{"role": "system", "content": system}, {"role": "user", "content": user}])


def load(folder: Path) -> Conversation | None:
    """The conversation as last saved; None where it never began. Raises SprintError if it is unreadable."""
    path = folder / NAME
    data = files.read(path)
    if data is None:
        return json_file.read(folder / _OLD_NAME, Conversation, remedy=_REMEDY)
    talk: Conversation | None = None
    for line in filter(None, data.split(b"\n")):
        try:
            added = decoding.decode(line, Conversation)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if talk is None:
                raise SprintError(f"cannot read {path}: {error}; {_REMEDY}") from error
            continue  # half a line, of a process that was killed
        before = talk.messages if talk else []
        if added.at <= len(before):
            messages = before[: added.at] + added.messages
            talk = structs.replace(added, messages=messages, at=len(messages))
    return talk
