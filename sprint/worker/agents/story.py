"""Makes of what an agent says the events of its run's transcript, and tells when it gets nowhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sprint import progress, transcript
from sprint.domain import Usage
from sprint.sprite.detector import Advice, Detector, Event, Silence
from sprint.terminal_text import readable
from sprint.worker.agents.agent_kind import (
    Answered,
    Called,
    Ended,
    Reader,
    Remarked,
    Retried,
    Said,
    Seen,
    Session,
)

_RESULT_CAP = 30_000  # characters of one result in the transcript; the whole is in agent.log
_REMARK_CAP = 1_000
_REMARKS = 200  # of one start
_FAILURE_CAP = 400


class Metered(Protocol):
    """Where the model is asked: how often, with what use, and which one. A Way is one."""

    @property
    def model(self) -> str: ...

    def calls(self) -> int: ...

    def usage(self) -> Usage: ...


@dataclass
class _Turn:
    """An answer whose calls may still be coming."""

    id: str
    texts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)


class Story:
    """Reads one start of an agent, line by line. `ended` is its own account, None while it has given none;
    `stop` is why it is to be stopped, "" while it gets on. `is_estimated`: its own word is all that tells
    what it used."""

    def __init__(
        self,
        folder: Path,
        kind: Reader,
        way: Metered,
        silence: Silence,
        note_session: Callable[[str], None],
        *,
        is_estimated: bool = False,
    ) -> None:
        self.ended: Ended | None = None
        self.last_text = ""
        self.stop = ""
        self.waits = False  # whether it is to be stopped for what it waited for
        self.steps = 0  # answers and results so far: 0 where it did nothing at all
        self._folder = folder
        self._kind = kind
        self._way = way
        self._note_session = note_session
        self._is_estimated = is_estimated
        self._detector = Detector(silence, time.monotonic())
        self._turn: _Turn | None = None
        self._turns = transcript.usage(folder)[0].turns
        self._told = Usage(cost_usd=0.0)  # of the way's usage what is in the transcript: nothing yet
        self._latest = Usage()  # and what it was when it last grew
        self._calls: dict[str, tuple[Called, float]] = {}
        self._asked = 0
        self._remarks = 0

    @property
    def turns(self) -> int:
        return self._turns

    def line(self, raw: bytes) -> None:
        """Take in a line of its output, whatever it holds."""
        text = raw.decode("utf-8", "replace").strip()
        if not text:
            return
        for seen in _read(self._kind, text):
            self._take_in(seen)

    def tick(self) -> None:
        """Look at the clock and at what the model is asked, however long no line has come."""
        asked = self._way.calls()
        if asked > self._asked:
            self._asked = asked
            progress.append(self._folder, "doing", what="model", text=self._way.model, seconds=None)
            if not self._kind.TELLS_STEPS:
                self._heed(self._detector.saw(Event("text", at=time.monotonic())))
        if not self._kind.TELLS_STEPS:
            self._tell_of_calls()
        self._heed(self._detector.quiet(time.monotonic()), waits=True)

    def close(self, stdout: str, stderr: str, exit_code: int) -> None:
        """It has ended: what is still in hand goes into the transcript."""
        for seen in self._kind.closing(stdout, stderr, exit_code):
            self._take_in(seen)
        self._end_turn()
        if self._way.usage().turns > self._told.turns:  # calls of the model that no step shows
            self._write_turn(_Turn(""))

    def _tell_of_calls(self) -> None:
        """A turn for each call of the model, but for the latest: its words may be the last ones."""
        used = self._way.usage()
        if used.turns > self._latest.turns:
            if self._latest.turns > self._told.turns:
                self._write_turn(_Turn(""), self._latest)
            self._latest = used

    # --- by what is seen

    def _take_in(self, seen: Seen) -> None:
        match seen:
            case Session():
                self._note_session(seen.id)
            case Said():
                self._said(seen)
            case Called():
                self._called(seen)
            case Answered():
                self._answered(seen)
            case Retried():
                self._note(f"the model is asked again: {seen.why}".rstrip(": "))
                self._heed(self._detector.saw(Event("retry", at=time.monotonic())), waits=True)
            case Remarked():
                self._remark(seen.text)
            case Ended():
                self.ended = seen
                if seen.usd is not None:
                    self._note(f"by its own account it cost ${seen.usd:.4f}, which is not what counts")

    def _said(self, seen: Said) -> None:
        if self._turn is None or not seen.turn or self._turn.id != seen.turn:
            self._end_turn()
            self._turn = _Turn(seen.turn)
        if seen.text:
            self._turn.texts.append(seen.text)
            self.last_text = seen.text
        if seen.reasoning:
            self._turn.reasoning.append(seen.reasoning)
        self.steps += bool(seen.text or seen.reasoning)
        self._heed(self._detector.saw(Event("text", at=time.monotonic())))

    def _called(self, seen: Called) -> None:
        if seen.id in self._calls:
            return  # told at its beginning already
        self._turn = self._turn or _Turn("")
        self._turn.calls.append(seen)
        self._calls[seen.id] = (seen, time.monotonic())
        self.steps += 1
        text = f"{seen.name} {readable(seen.arguments)}"
        progress.append(self._folder, "doing", what="tool", text=text, seconds=None)
        self._heed(self._detector.saw(Event("began", at=time.monotonic())))

    def _answered(self, seen: Answered) -> None:
        self._end_turn()
        now = time.monotonic()
        call, began = self._calls.pop(seen.id, (Called(seen.id, "?", ""), now))
        self.steps += 1
        transcript.append(
            self._folder,
            "tool",
            turn=self._turns,
            id=seen.id,
            name=call.name,
            text=_shortened(readable(seen.text)),
            seconds=round(now - began, 3),
            error="failed" if seen.failed and seen.exit_code is None else "",
            exit_code=seen.exit_code,
            killed_by="",
            output="",
        )
        said = f"{call.name}: {seen.text[-_FAILURE_CAP:]}" if seen.failed else ""
        self._heed(
            self._detector.saw(
                Event(
                    "call",
                    at=now,
                    call=f"{call.name} {call.arguments}",
                    result=seen.text,
                    mistake=said if seen.exit_code is None else "",
                    failure=said if seen.exit_code is not None else "",
                    path=call.path if not seen.failed else "",
                )
            )
        )

    def _end_turn(self) -> None:
        if self._turn is not None and (self._turn.texts or self._turn.reasoning or self._turn.calls):
            self._write_turn(self._turn)
        self._turn = None

    def _write_turn(self, turn: _Turn, used: Usage | None = None) -> None:
        used = used or self._way.usage()
        if not self._kind.TELLS_STEPS:
            # A fast model answers several times between two looks: each is a turn, for they are limited.
            for _ in range(used.turns - self._told.turns - 1):
                self._append(_Turn(""), self._told)
        self._append(turn, used)

    def _append(self, turn: _Turn, used: Usage) -> None:
        told, self._told = self._told, used
        self._turns += 1
        costs = (used.cost_usd, told.cost_usd)
        transcript.append(
            self._folder,
            "assistant",
            turn=self._turns,
            content=readable("\n".join(turn.texts)),
            reasoning=readable("\n".join(turn.reasoning)),
            finish_reason="tool_calls" if turn.calls else "stop",
            tool_calls=[
                {"id": call.id, "name": call.name, "arguments": readable(call.arguments)}
                | ({"path": readable(call.path)} if call.path else {})
                for call in turn.calls
            ],
            usage={
                "prompt_tokens": used.prompt_tokens - told.prompt_tokens,
                "cached_tokens": used.cached_tokens - told.cached_tokens,
                "completion_tokens": used.completion_tokens - told.completion_tokens,
                "cost_usd": None if costs[0] is None or costs[1] is None else costs[0] - costs[1],
            },
            estimated=self._is_estimated,
            model=self._way.model,
            url="",
            seconds=0.0,
        )

    # --- notes

    def _heed(self, advice: Advice, *, waits: bool = False) -> None:
        if advice.stop and not self.stop:
            self.stop, self.waits = advice.stop, waits
            self._note(advice.stop)
        elif advice.note:
            self._note(advice.note)

    def _remark(self, text: str) -> None:
        self._remarks += 1
        if self._remarks <= _REMARKS:
            self._note(f"{self._kind.NAME}: {text[:_REMARK_CAP]}")
        elif self._remarks == _REMARKS + 1:
            self._note(f"{self._kind.NAME}: more of this is in agent.log")

    def _note(self, text: str) -> None:
        transcript.append(self._folder, "note", text=readable(text))


def _read(kind: Reader, text: str) -> Iterator[Seen]:
    """Whatever shape it has: a version that we do not know must not cost the run."""
    if text.startswith("{"):
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            yield Remarked(f"a line that cannot be read: {text[:200]}")
            return
        yield from kind.read(record)
    else:
        yield from kind.read_text(text)


def _shortened(text: str) -> str:
    if len(text) <= _RESULT_CAP:
        return text
    half = _RESULT_CAP // 2
    gap = f"[... {len(text) - 2 * half} characters left out; agent.log has them ...]"
    return f"{text[:half]}\n{gap}\n{text[-half:]}"
