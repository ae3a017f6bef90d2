"""What a kind of agent tells: how it is found, started and read. Nothing of what it says is believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sprint.config import AgentWorkerConfig
from sprint.gateway.models.dialect import Dialect
from sprint.worker.agents.programs import Program


@dataclass(frozen=True)
class Assignment:
    """One start of an agent. `base_url` is the model's address as seen inside, without `/v1`; `key` opens it
    there and is worth nothing elsewhere. `session` is its own one to go on with, "" for a new one."""

    program: tuple[str, ...]
    prompt: str
    base_url: str
    key: str
    model: str
    home: str
    max_turns: int
    session: str = ""


@dataclass(frozen=True)
class Launch:
    """`files` are written below its home before it starts, by their path from there; `stdin` is the prompt,
    or "" where it takes that as an argument."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    stdin: str = ""


def by_file(path: str) -> str:
    """The prompt of an agent that takes it as an argument, where that is too long or would be seen."""
    return f"Your task is in the file {path}. Read all of it first, then do what it says."


@dataclass(frozen=True)
class Install:
    """How an agent's program is had: `command` is its name on the PATH, `package` that of npm (or of PyPI,
    where `node` is ""), `node` the oldest version of Node.js that it works with."""

    command: str
    package: str
    node: str = ""


@dataclass(frozen=True)
class Session:
    """The name by which it can be taken up again."""

    id: str


@dataclass(frozen=True)
class Said:
    """Words of its model; the calls that came with them follow as Called. What has the same `turn` is one
    answer; "" where it does not tell."""

    text: str = ""
    reasoning: str = ""
    turn: str = ""


@dataclass(frozen=True)
class Called:
    """`path`: the file that the call edits, "" for any other call."""

    id: str
    name: str
    arguments: str
    path: str = ""


@dataclass(frozen=True)
class Answered:
    """What a call gave. `exit_code` of a command, where it tells."""

    id: str
    text: str
    failed: bool = False
    exit_code: int | None = None


@dataclass(frozen=True)
class Retried:
    """It asked its model once more for the same answer."""

    why: str = ""


@dataclass(frozen=True)
class Remarked:
    """Anything else that a person may want to read."""

    text: str


@dataclass(frozen=True)
class Ended:
    """Its own account of the end. `failure` "" where it says that all went well."""

    failure: str = ""
    text: str = ""
    usd: float | None = None  # what it believes to have cost: for the transcript only


Seen = Session | Said | Called | Answered | Retried | Remarked | Ended


class Reader(Protocol):
    """Reads what an agent says."""

    @property
    def NAME(self) -> str: ...  # noqa: N802 - modules have this shape, too

    @property
    def TELLS_STEPS(self) -> bool:  # noqa: N802
        """Whether its output shows each step, or only the last words."""
        ...

    def read(self, record: Mapping[str, Any]) -> Iterator[Seen]:
        """What one line of its output says, a JSON object; nothing for what is not known."""
        ...

    def read_text(self, line: str) -> Iterator[Seen]:
        """The same for a line of stdout that is no JSON object."""
        ...

    def closing(self, stdout: str, stderr: str, exit_code: int) -> Iterator[Seen]:
        """What only the whole output tells, once it has ended."""
        ...


class AgentKind(Reader, Protocol):
    """One kind of agent; the modules in the catalogue have this shape."""

    DIALECT: Dialect
    TRIED: str  # the version that this was written against
    REMARK: str  # what whoever configures it should know, "" for nothing
    INSTALL: Install

    def find(self, config: AgentWorkerConfig) -> Program:
        """Its program on this machine. Raises ConfigError, with the remedy, where it cannot be used."""
        ...

    def launch(self, work: Assignment) -> Launch: ...
