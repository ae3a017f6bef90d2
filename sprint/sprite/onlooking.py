"""What goes on on sprites, seen from here: status of all at once, an agent's output, its end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from sprint.clean_text import safe_line
from sprint.errors import ConfigError, SprintError
from sprint.sprite import on_machine
from sprint.sprite.backend import Backend, BackendError, Missing, Sprite, SpriteState, Unreachable
from sprint.sprite.supervisor import state_files
from sprint.sprite.supervisor.agent_settings import duration
from sprint.sprite.supervisor.fault import Fault
from sprint.sprite.visit import Visit
from sprint.terminal_text import decoded, readable

PROBE_SECONDS = 10.0
_FOLLOW_SECONDS = 1.0
_GRACE_SECONDS = 10.0

# Where the work is, as those know it who made the sprite: in this order.
WORKSPACE = r"""
above() { found=$(ls -td $1 2>/dev/null | head -n 1); found=${found:+$(dirname "$found")}; [ -d "$found" ]; }
found=$(sed -n 's/.*"\(path\|workspace\|dir\)" *: *"\([^"]*\)".*/\2/p' .bb/workspace.json 2>/dev/null)
[ -d "$found" ] || above '.dispatch-prompt.md */.dispatch-prompt.md workspace/*/.dispatch-prompt.md' ||
above 'PROMPT.md */PROMPT.md workspace/*/PROMPT.md' || above 'ralph.log */ralph.log workspace/*/ralph.log' ||
found=$(ls -d */ 2>/dev/null | head -n 1)
cd "${found:-.}" || exit 1
"""
# The sprite's own clock first: then an age is right, whatever the clock here says. Files do not tell whether
# a supervisor lives: it does, or, of a run's, which may be in a sandbox, its launch's lock (errands.py).
_STATE = (
    WORKSPACE
    + """date +%s
run=$(head -c 200 ../task/run 2>/dev/null) && [ -n "$run" ] && {
held=free; for lock in "$HOME/.sprint/runs/$run"/launch-*.lock; do
flock -n -s "$lock" true 2>/dev/null || held=held; done; echo "$held"; cat .bb-agent/state.json; exit; }
echo asked
[ -e "$HOME/.sprint/PROGRAM" ] && python3 "$HOME/.sprint/PROGRAM" status --json 2>/dev/null ||
cat .bb-agent/state.json 2>/dev/null || cat STATUS.json 2>/dev/null
"""
).replace("PROGRAM", on_machine.PROGRAM)
_LAUNCH = (
    WORKSPACE
    + """\
run=$(head -c 200 ../task/run 2>/dev/null) && [ -n "$run" ] || exit 0
cd "$HOME/.sprint/runs/$run" && echo "$run" || exit 0
ls -t | sed -n 's/^launch-\\([0-9]*\\)\\.json$/\\1/p' | head -n 1
"""
)
_TAIL = WORKSPACE + 'tail -n "$2" ".bb-agent/$1" 2>/dev/null; wc -c <".bb-agent/$1" >&2'
_MORE = WORKSPACE + 'tail -c "+$(($2 + 1))" ".bb-agent/$1" 2>/dev/null; wc -c <".bb-agent/$1" >&2'
_RUNNING = ("starting", "running", "stalled", "stopping")


@dataclass(frozen=True)
class Seen:
    """One sprite at a look. `state` is the supervisor's, {} where none ever was; `now` by its own clock."""

    state: Mapping[str, Any]
    now: datetime
    trouble: str = ""
    is_asleep: bool = False

    @property
    def is_running(self) -> bool:
        return self.state.get("status") in _RUNNING

    def told(self) -> str:
        """One line: what it does, for whom, since when."""
        if self.trouble or self.is_asleep:
            return self.trouble or "asleep"
        if not self.state:
            return "idle"
        task = self.state.get("task")
        repo = (task.get("repo") if isinstance(task, dict) else None) or self.state.get("repo")
        words = [self.state.get("status"), self.state.get("outcome"), repo]
        since = self.state.get("started_at") or self.state.get("started")
        text = " ".join(str(word) for word in words if word)
        return f"{text} since {since}{self._age(since)}" if since else text

    def _age(self, since: object) -> str:
        began = _time(since)
        if began is None or not self.is_running:
            return ""
        minutes = max(0, int((self.now - began).total_seconds())) // 60
        return f" ({minutes // 60} h {minutes % 60:02} min)"


def look(backend: Backend, sprite: Sprite) -> Seen:
    """One dialogue with it; none with one that sleeps, which would wake it. Raises no BackendError."""
    now = datetime.now(UTC)
    if sprite.state is SpriteState.ASLEEP:
        return Seen({}, now, is_asleep=True)
    try:
        done = backend.exec(sprite.name, ["sh", "-c", _STATE], timeout=PROBE_SECONDS)
    except BackendError as error:
        return Seen({}, now, f"unreachable: {error}" if isinstance(error, Unreachable) else str(error))
    first, how, rest = [*decoded(done.stdout).split("\n", 2), "", ""][:3]
    if first.isdigit():
        now = datetime.fromtimestamp(int(first), UTC)
    try:
        state = json.loads(rest)
    except ValueError:
        state = {}
    state = state if isinstance(state, dict) else {}
    if how == "held" and not state:
        state = {"status": "starting"}
    if how == "free" and state.get("status") in _RUNNING:
        state |= {"status": "stopped", "outcome": "lost", "last_error": "the supervisor was killed"}
    return Seen(state, now)


def look_at_all(backend: Backend, sprites: Sequence[Sprite]) -> list[Seen]:
    """As many at once as the backend bears, in the order given."""
    with ThreadPoolExecutor(max(1, min(backend.at_once, len(sprites)))) as pool:
        return list(pool.map(lambda one: look(backend, one), sprites))


def sprite_of(backend: Backend, name: str) -> Sprite:
    """Raises Missing where there is none of that name."""
    found = next((one for one in backend.list() if one.name == name), None)
    if found is None:
        raise Missing(f"{backend.name}: there is no sprite {name}")
    return found


@dataclass(frozen=True)
class Onlooker:
    """A backend, and where to say what is seen there."""

    backend: Backend
    out: TextIO

    def status(self, names: Sequence[str]) -> int:
        """All at once, each within PROBE_SECONDS; 1 where one cannot be reached."""
        sprites = {one.name: one for one in self.backend.list()}
        wanted = list(names) or sorted(sprites)
        if unknown := [name for name in names if name not in sprites]:
            raise Missing(f"{self.backend.name}: there is no sprite {', '.join(unknown)}")
        seen = look_at_all(self.backend, [sprites[name] for name in wanted])
        for name, one in zip(wanted, seen, strict=True):
            self._print(f"{name:24} {one.told()}")
        return 1 if any(one.trouble for one in seen) else 0

    def agent_status(self, name: str, *, as_json: bool) -> int:
        """The supervisor's own account, a field a line. Raises Unreachable where there is no answer."""
        seen = look(self.backend, sprite_of(self.backend, name))
        if seen.trouble:
            raise Unreachable(f"{name}: {seen.trouble}")
        if as_json:
            known = seen.state or {"sprite": name, "status": seen.told()}
            print(json.dumps(known, indent=1), file=self.out)
        elif seen.state:
            for line in state_files.told(seen.state):
                self._print(line)
        else:
            self._print(f"{name} is {seen.told()}")
        return 0

    def logs(
        self,
        sprite: str,
        lines: int,
        *,
        follow: bool,
        file: str = "agent.log",
        shown: Callable[[str], str] = str,
    ) -> int:
        place = self._tail(sprite, _TAIL, file, lines, shown)
        while follow:
            time.sleep(_FOLLOW_SECONDS)
            place = self._tail(sprite, _MORE, file, place, shown)
        return 0

    def _tail(self, sprite: str, script: str, file: str, number: int, shown: Callable[[str], str]) -> int:
        """Show what there is; how many bytes the file has. One dialogue, so that both belong together."""
        done = self.backend.exec(sprite, ["sh", "-c", script, "sh", file, str(number)], timeout=60.0)
        size = decoded(done.stderr).split()
        if not (size and size[-1].isdigit()):
            raise Missing(f"{sprite}: nothing was written to {file} yet")
        self.out.write(shown(decoded(done.stdout)))
        self.out.flush()
        return int(size[-1])

    def stop(self, sprite: str, timeout: str = "") -> int:
        """SIGTERM, then SIGKILL; what is left of it afterwards is `kill`'s. Raises ConfigError for what is no
        duration."""
        try:
            grace = duration(timeout) if timeout else _GRACE_SECONDS
        except Fault as fault:
            raise ConfigError(f"--timeout: {fault}") from None
        if self._ended_launch(sprite, grace):
            return 0
        words = ["stop", *(["--timeout", timeout] if timeout else [])]
        return self._supervisor(sprite, words, "stop")

    def kill(self, sprite: str) -> int:
        """SIGKILL at once, to all that the supervisor there started."""
        if self._ended_launch(sprite, 0.0):
            return 0
        return self._supervisor(sprite, ["kill"], "kill")

    def _ended_launch(self, sprite: str, grace: float) -> bool:
        """Whether what is there is a run's, whose supervisor may be in a sandbox: it has been ended then."""
        done = self.backend.exec(sprite, ["sh", "-c", _LAUNCH], timeout=60.0)
        run, number = [*decoded(done.stdout).split(), "", ""][:2]
        if not number.isdigit():
            return False
        visit = Visit(self.backend, sprite)
        answer = visit.ask("stop", timeout=grace + 60.0, run=run, number=int(number), grace=grace)
        self._print(f"{sprite}: run {run} {'was ended' if answer['was_alive'] else 'has ended already'}")
        return True

    def _supervisor(self, sprite: str, words: Sequence[str], doing: str) -> int:
        """By our own, put there anew: what is there may be broken, of another version, or bb's."""
        install(self.backend, sprite)
        script = WORKSPACE + f'exec python3 "$HOME/.sprint/{on_machine.PROGRAM}" "$@"'
        done = self.backend.exec(sprite, ["sh", "-c", script, "sh", *words], timeout=300.0)
        if done.exit_code:
            said = safe_line(decoded(done.stderr)) or "no supervisor there"
            raise SprintError(f"{sprite}: cannot {doing}: {said}")
        self._print(f"{sprite}: {safe_line(decoded(done.stdout))}")
        return 0

    def _print(self, line: str) -> None:
        """What others wrote in it is one line of text, its columns kept."""
        print(readable(" ".join(line.splitlines())), file=self.out)


def install(backend: Backend, sprite: str) -> None:
    """The supervisor of this version, in the sprite's .sprint/."""
    backend.put(sprite, f".sprint/{on_machine.PROGRAM}", on_machine.content(on_machine.PROGRAM))


def _time(text: object) -> datetime | None:
    """What names no zone is UTC: read as local time it would give negative ages."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
