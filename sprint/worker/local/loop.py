"""Asks the model, does what it calls for, answers its mistakes, until it is done or has to stop."""

from __future__ import annotations

import json
import logging

from msgspec import Struct

from sprint import progress, prompts, transcript
from sprint.beside import Beside, ending
from sprint.domain import Ending, Endpoint, WorkerResult, replace
from sprint.errors import EndedEarly
from sprint.model import ContextCut, ContextOverflow, Models, OutOfTime, Reply, ToolCall, inquiry
from sprint.sprite.detector import Detector, Event
from sprint.worker import Job
from sprint.worker.local import dialects, evidence, offer, window
from sprint.worker.local.assistant_message import assistant_message
from sprint.worker.local.conversation import Conversation
from sprint.worker.local.meter import Meter
from sprint.worker.local.output import OutputBudget
from sprint.worker.local.toolbox import Result, Toolbox
from sprint.worker.local.tools import BadCall, Finish, parse, tool_named

CALLS_PER_TURN = 16
NUDGES = 2
_EMPTY_ANSWERS = 3
_OVERFLOWS_IN_A_ROW = 4
_SMALL_WINDOW = 16_000  # tokens

# Templates of what the model is told when its answer cannot be worked with.
_CALL_AS_TEXT = "answers/call_as_text"
_NO_CALL = "answers/no_call"
_CUT_OFF = "answers/cut_off"
_EMPTY = "answers/empty"

_log = logging.getLogger(__name__)


class End(Struct, frozen=True):
    """Why the loop ended."""

    ending: Ending
    detail: str = ""
    summary: str = ""
    commit: str = ""


class Loop:
    """One stretch of a run, from a first or a further message of the user's to an end."""

    def __init__(self, job: Job, conversation: Conversation, models: Models, meter: Meter) -> None:
        self._job = job
        self._talk = conversation
        self._models = models
        self._meter = meter
        tokens = conversation.window or window.first_guess(models.endpoint)
        skills = offer.guides(job.forge.kind, tokens)
        self._tools = Toolbox(
            job, meter.seconds_left, conversation.outputs, skills, is_reviewed=conversation.is_reviewed
        )
        self._fixed = len(json.dumps(self._tools.definitions))
        self._detector = Detector()
        self._learned: set[Endpoint] = set()  # whose windows are known
        self._inquiries: dict[Endpoint, Beside[int | None]] = {}
        self._last_text = ""
        self._wordless = 0  # answers in a row without a call
        self._empty = 0
        self._overflows = 0

    def run(self) -> WorkerResult:
        """Raises ModelError where no model answers, and Stopped where the runner itself has to stop: then
        what was done stays, and the loop goes on from there."""
        end = None
        try:
            self._inquire(self._models.endpoint)
            # What the next command needs is made meanwhile.
            with self._job.sandbox.ahead((self._tools.usual_command, self._job.workspace)):
                while end is None:
                    end = self._step()
        finally:
            self._save()
        result = WorkerResult(
            ending=end.ending,
            summary=end.summary or self._last_text,
            detail=end.detail,
            commit=end.commit,
            model=self._talk.model,
            usage=self._talk.usage,
            is_reviewed=self._tools.is_reviewed,
            is_as_inspected=self._tools.is_as_inspected,
        )
        evidence.end(self._job.folder, result)
        return result

    def _step(self) -> End | None:
        if end := self._must_stop():
            return end
        try:
            reply = self._ask()
        except ContextOverflow as overflow:
            self._overflowed(overflow)
            return None
        except ContextCut as cut:
            self._talk.window = cut.window  # so that it is kept within that when it goes on
            raise
        except EndedEarly:
            return self._must_stop()
        except OutOfTime as error:
            return End(Ending.LIMIT, f"limits.minutes: {error}")
        self._overflows = 0
        end = self._take_in(reply)
        self._save()
        return end

    def _must_stop(self) -> End | None:
        if reason := self._job.watch():
            return End(Ending.CANCELLED, reason)
        if reason := self._meter.exceeded():
            return End(Ending.LIMIT, reason)
        return None

    # --- asking -----------------------------------------------------------------------------------

    def _ask(self) -> Reply:
        self._learn_window(self._models.endpoint)
        sent = window.size(self._talk.messages) + self._fixed
        if window.is_full(self._talk, sent):
            sent -= self._shorten()
        progress.append(self._job.folder, "time", seconds_left=self._meter.seconds_left())
        progress.append(
            self._job.folder, "doing", what="model", text=self._models.endpoint.name, seconds=None
        )
        reply = self._models.complete(self._talk.messages, self._tools.definitions)
        if unlimited := self._meter.count(reply.usage):
            self._note(unlimited)
        self._talk.usage = transcript.add(self._talk.usage, reply.usage)
        self._talk.model = reply.endpoint.name
        if not reply.estimated:
            window.learn(self._talk, sent, reply.usage.prompt_tokens)
        evidence.reply(self._job.folder, self._talk.usage.turns, reply)
        return reply

    def _inquire(self, endpoint: Endpoint) -> Beside[int | None]:
        """Ask how much it takes in, beside what else there is to do; that comes to its end by itself."""
        ask = inquiry.ollama_window if endpoint.context else inquiry.window
        self._inquiries[endpoint] = begun = Beside(lambda _watch: ask(endpoint))
        return begun

    def _learn_window(self, endpoint: Endpoint) -> None:
        """Ask once per model, before its first answer."""
        if endpoint in self._learned:
            return
        if not self._talk.window:
            self._talk.window = window.first_guess(endpoint)
        told = (self._inquiries.get(endpoint) or self._inquire(endpoint)).result(ending(self._job.watch))
        tokens = min(filter(None, (endpoint.context, told)), default=self._talk.window)
        self._learned.add(endpoint)
        self._talk.window = tokens
        if tokens < _SMALL_WINDOW:
            self._note(
                f"{endpoint.name} runs with a context of {tokens} tokens only; with Ollama, set "
                "OLLAMA_CONTEXT_LENGTH or num_ctx in a Modelfile"
            )
            _log.warning("%s runs with a context of %d tokens only", endpoint.name, tokens)

    def _shorten(self) -> int:
        saved = window.shorten(self._talk, self._fixed)
        if saved:
            self._note(f"the context is nearly full: {saved} characters of old results left out")
        return saved

    def _overflowed(self, overflow: ContextOverflow) -> None:
        self._overflows += 1
        window.overflowed(self._talk, self._fixed, overflow.window)
        if self._shorten() and self._overflows <= _OVERFLOWS_IN_A_ROW:
            return
        raise overflow  # the task and the tools are too much for it: the operator's to mend

    # --- taking in the answer ---------------------------------------------------------------------

    def _take_in(self, reply: Reply) -> End | None:
        text = dialects.without_thoughts(reply.content)
        calls: tuple[ToolCall, ...] | None = reply.tool_calls
        if not calls and text:
            written = dialects.find(text)
            if written == ():
                return self._wordless_turn(text, _CALL_AS_TEXT, "calls written as text")
            calls = tuple(
                ToolCall(f"text_{self._talk.usage.turns}_{number}", call.name, call.arguments)
                for number, call in enumerate(written or ())
            )
            if written:
                text = text[: written[0].start].strip()
        self._last_text = text or self._last_text
        if calls:
            self._wordless = self._empty = 0
            return self._do_calls(reply, text, calls)
        if reply.finish_reason == "length":
            return self._wordless_turn(text, _CUT_OFF, "answers cut off at their limit")
        if not text:
            return self._empty_turn()
        return self._wordless_turn(text, _NO_CALL, "text without a tool call")

    def _empty_turn(self) -> End | None:
        """An empty message would be refused when it is sent back, so only the answer to it is kept."""
        self._empty += 1
        if self._empty > _EMPTY_ANSWERS:
            return End(Ending.OFF_RAILS, f"{self._empty} empty answers in a row")
        self._say(_EMPTY)
        return None

    def _wordless_turn(self, text: str, answer: str, what: str) -> End | None:
        self._wordless += 1
        self._talk.messages.append({"role": "assistant", "content": text or "(cut off)"})
        if self._wordless <= NUDGES:
            self._say(answer)
            return None
        if answer == _NO_CALL and self._tools.has_changes():
            return End(Ending.IMPLEMENTED, "it never called finish", summary=text)
        return End(Ending.OFF_RAILS, f"{what}, {self._wordless} times in a row")

    def _say(self, answer: str) -> None:
        """Tell the model something in the user's place, with what it should know of its limits."""
        message = prompts.render(answer).strip()
        self._talk.tell("\n\n".join(filter(None, [message, self._meter.warning()])))
        transcript.append(self._job.folder, "user", text=message)

    def _do_calls(self, reply: Reply, text: str, calls: tuple[ToolCall, ...]) -> End | None:
        """Do the calls in order; the turn joins the conversation as a whole, once all are answered."""
        turn = [assistant_message(reply, text, calls)]
        budget = OutputBudget(window.budget_for_results(self._talk))
        end: End | None = None
        failed = False
        for number, call in enumerate(calls):
            if end is None and number:
                end = self._must_stop()
            if end is not None or number >= CALLS_PER_TURN:
                result = Result("Not run: the work has ended." if end else "Not run: too many calls at once.")
            else:
                result, end = self._do(reply, call, budget, after_failure=failed)
                failed = failed or bool(result.mistake)
            turn.append({"role": "tool", "tool_call_id": call.id, "content": result.text})
            evidence.result(self._job.folder, self._talk.usage.turns, call, result)
        if end is None and (warning := self._meter.warning()):
            turn[-1]["content"] += f"\n\n{warning}"
            self._note(warning)
        self._talk.messages.extend(turn)
        return end

    def _do(
        self, reply: Reply, call: ToolCall, budget: OutputBudget, *, after_failure: bool
    ) -> tuple[Result, End | None]:
        name = tool_named(call.name)
        try:
            parsed = parse(name, call.arguments)
            if isinstance(parsed, Finish) and after_failure:
                raise BadCall(
                    "finished too early", "An earlier call of this turn failed: look at its result first."
                )
            result = self._tools.do(parsed, budget)
        except BadCall as error:
            is_cut = reply.finish_reason == "length" and error.kind == "arguments are no JSON"
            result = Result(
                prompts.render(_CUT_OFF).strip() if is_cut else str(error), mistake=f"{name}: {error.kind}"
            )
        if result.finish is not None:
            return result, _finished(result.finish)
        advice = self._detector.saw(
            Event(
                "call",
                call=f"{name} {call.arguments}",
                result=result.text,
                mistake=_mistake(result),
                failure=result.failure,
                path=result.edited,
            )
        )
        if advice.stop:
            return result, End(Ending.OFF_RAILS, advice.stop)
        if advice.note:
            return _with_note(result, advice.note), None
        return result, None

    # --- evidence ---------------------------------------------------------------------------------

    def _save(self) -> None:
        self._talk.outputs = self._tools.outputs.count
        self._talk.is_reviewed = self._tools.is_reviewed
        self._meter.tick()
        self._talk.save(self._job.folder)

    def _note(self, text: str) -> None:
        transcript.append(self._job.folder, "note", text=text)


def _mistake(result: Result) -> str:
    return f"{result.mistake} {result.text[:200]}" if result.mistake else ""


def _with_note(result: Result, note: str) -> Result:
    return replace(result, text=f"{result.text}\n\n[{note}]")


_ENDINGS = {
    "implemented": Ending.IMPLEMENTED,
    "already_fixed": Ending.ALREADY_FIXED,
    "question": Ending.QUESTION,
}


def _finished(call: Finish) -> End:
    return End(
        _ENDINGS[call.status],
        detail=call.question.strip() if call.status == "question" else "",
        summary=call.summary.strip(),
        commit=call.commit,
    )
