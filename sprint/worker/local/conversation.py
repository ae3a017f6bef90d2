"""What a run can be taken up from: its messages and what it has used, in messages.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from sprint import files
from sprint.domain import Usage
from sprint.errors import SprintError

NAME = "messages.json"


class Conversation(msgspec.Struct):
    """The messages in the API's shape, and the state of the run's limits.

    `known_usd` are the dollars of the turns whose price is known. `window` in tokens, 0 until it is known.
    `characters_per_token` is what the server's own counts say of this conversation.
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

    def save(self, folder: Path) -> None:
        """Replace messages.json at once. Raises SprintError."""
        files.replace(folder / NAME, msgspec.json.encode(self), durable=False)

    def tell(self, message: str) -> None:
        """Add what the user says. It joins what the model has not seen yet, since some APIs allow no user's
        message right after a tool's result."""
        last = self.messages[-1] if self.messages else {}
        if last.get("role") in ("tool", "user"):
            last["content"] = f"{last['content']}\n\n{message}"
        else:
            self.messages.append({"role": "user", "content": message})


def begun(system: str, user: str) -> Conversation:
    return Conversation([{"role": "system", "content": system}, {"role": "user", "content": user}])


def load(folder: Path) -> Conversation | None:
    """The conversation as last saved; None where it never began. Raises SprintError if it is unreadable."""
    path = folder / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Conversation)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.refusal("read", path, error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SprintError(f"cannot read {path}: {error}; remove the run's folder to give it up") from error
