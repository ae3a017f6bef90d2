"""From a host's own files into the database: what came since the last time, whenever that was, once.

A row is told by its run, a call's dollars by the byte at which their line begins, a record by its file.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from sprint import decoding, files, host, ledger
from sprint.config import Config
from sprint.domain import LedgerRow, Run
from sprint.errors import SprintError
from sprint.fleet import hosts
from sprint.fleet.database import Connection, asking
from sprint.fleet.tables import ONE_AT_A_TIME
from sprint.ledger import rows
from sprint.ledger.rows import OldRow
from sprint.runs import RunStore

HELD_FOR = timedelta(hours=6)  # what a run keeps of the ceiling, at least, since its host was seen last
_RECORDS = ("heartbeat/*/*/*.json", "health/*.json", "pull_states.json")
_BESIDE = ("sprite.json", "sprite-prompt-*.md")  # what a worker needs to find its run's work elsewhere
_BESIDE_CAP = 1_000_000  # bytes
_BESIDE_NAME = re.compile(r"sprite\.json|sprite-prompt-[0-9]+\.md")
_RECORD_CAP = 20_000_000  # bytes
_MOST = 1 << 62
_BATCH = 5_000
_YOUNG = timedelta(minutes=1)

_COLUMNS = ", ".join(rows.COLUMNS)
_ADD_ROW = (
    f"INSERT INTO sprint_rows (host_id, old_line, {_COLUMNS}) VALUES (%s, %s, "  # noqa: S608 - names of ours
    f"{', '.join('%s' for _ in rows.COLUMNS)}) ON CONFLICT (run_id) DO NOTHING"
).encode()
_ADD_SPEND = (
    "INSERT INTO sprint_spend (host_id, day, position, at, run_id, usd) VALUES (%s, %s, %s, %s, %s, %s)"
    " ON CONFLICT DO NOTHING"
)
_LEFT = (
    "SELECT run::text, beside FROM sprint_runs JOIN sprint_hosts ON id = host_id"  # noqa: S608 - words of ours
    " WHERE forge = %s AND repo = %s AND host_id != %s AND " + hosts.LOST + " ORDER BY run_id"
)

_log = logging.getLogger(__name__)


def ship(database: Connection, config: Config) -> None:
    """All that is new here; nothing where this machine has never run anything. Raises SprintError."""
    results = config.paths.results
    if not host.known_id(results):
        return
    own = hosts.say_hello(database, config)
    ship_rows(database, results, own)
    ship_spend(database, results, own)
    _ship_records(database, results, own)
    _ship_runs(database, results, own)


# --- rows --------------------------------------------------------------------------------------


def ship_rows(database: Connection, results: Path, own: str) -> None:
    name, end = "results.csv", ledger.size(results)
    if _cursors(database, own).get(name, 0) == end:
        return
    with asking(), database.transaction():
        one_at_a_time(database)
        start = _cursors(database, own).get(name, 0)
        start = start if start <= end else 0  # the file was cut or replaced: what is there already stays once
        add_rows(database, own, _rows(results, start, end))
        _set_cursor(database, own, name, end)


def _rows(results: Path, start: int, end: int) -> Iterator[LedgerRow | OldRow]:
    layouts = [ledger.header(ledger.path_of(results))]
    for block in ledger.blocks(results, start=start, end=end):
        for line in block:
            row = rows.parse(line, layouts)
            if isinstance(row, LedgerRow | OldRow):
                yield row


def all_rows(results: Path) -> Iterator[LedgerRow | OldRow]:
    """Every row of a ledger that is one. Raises SprintError where it cannot be read."""
    return (row for row in ledger.read(results) if isinstance(row, LedgerRow | OldRow))


def add_rows(database: Connection, own: str, found: Iterable[LedgerRow | OldRow]) -> int:
    """Add those that are not there yet, by their runs; returns how many were given."""
    count, batch = 0, []
    with database.cursor() as cursor:
        for row in found:
            count += 1
            if values := _values(row):
                batch.append((own, *values))
            if len(batch) == _BATCH:
                cursor.executemany(_ADD_ROW, batch)
                batch = []
        if batch:
            cursor.executemany(_ADD_ROW, batch)
    return count


def _values(row: LedgerRow | OldRow) -> tuple[Any, ...] | None:
    """The old line, then a row's columns as its line has them; None for numbers that nobody meant."""
    if isinstance(row, OldRow):
        line = f"{row.finished_at.timestamp():.0f}|{row.repo}|#{row.issue}|{row.exit_code}"
        known = {
            "finished_at": row.finished_at,
            "run_id": f"old {line}",
            "repo": row.repo,
            "issue": row.issue,
            "outcome": "",
            "exit_code": row.exit_code,
        }
        defaults = dict.fromkeys(rows.COLUMNS, "") | {"cost_usd": None} | dict.fromkeys(_NUMBERS, 0)
        return (line, *({**defaults, **known}[name] for name in rows.COLUMNS))
    numbers = [row.issue or 0, *(getattr(row, name) for name in _NUMBERS), row.cost_usd or 0]
    if (
        any(abs(number) > _MOST for number in numbers)
        or max(map(abs, (row.cost_usd or 0, row.duration_s))) > 1e9
    ):
        _log.warning("the row of run %s has a number that cannot be; it is not shared", row.run_id)
        return None
    fields = rows.split(rows.write(row, rows.COLUMNS).decode("utf-8", "replace").rstrip("\n"))
    nullable = {rows.COLUMNS.index(name) for name in ("issue", "cost_usd")}
    return (None, *(None if place in nullable and not text else text for place, text in enumerate(fields)))


_COUNTS = ("exit_code", "attempt", "turns", "prompt_tokens", "completion_tokens", "round")
_NUMBERS = (*_COUNTS, "duration_s", "paused_s")


# --- dollars -----------------------------------------------------------------------------------


def ship_spend(database: Connection, results: Path, own: str) -> None:
    known = _cursors(database, own)
    for path in sorted((results / "spend").glob("????-??-??.jsonl")):
        name = f"spend/{path.name}"
        with files.refusing("read", path):
            size = path.stat().st_size
        if known.get(name, 0) != size:
            with asking(), database.transaction():
                one_at_a_time(database)
                start = _cursors(database, own).get(name, 0)
                end = _ship_day(database, path, own, start)
                _set_cursor(database, own, name, end)


def _ship_day(database: Connection, path: Path, own: str, start: int) -> int:
    """Returns where the last whole line ends."""
    with files.refusing("read", path), path.open("rb") as file:
        file.seek(start)
        added = file.read()
    added = added[: added.rfind(b"\n") + 1]
    position, found = start, []
    for line in added.splitlines(keepends=True):
        if call := _call(line):
            found.append((own, date.fromisoformat(path.stem), position, *call))
        position += len(line)
    with database.cursor() as cursor:
        cursor.executemany(_ADD_SPEND, found)
    return position


def _call(line: bytes) -> tuple[datetime, str, Decimal] | None:
    """When, for which run and how many dollars; None for a line that counts as nothing."""
    try:
        record = json.loads(line, parse_float=Decimal)
        usd, at = Decimal(record["usd"]), datetime.fromisoformat(record["at"])
        is_sum = math.isfinite(usd) and 0 < usd < 1_000_000
    except (ValueError, TypeError, KeyError, InvalidOperation):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC), _text(record.get("run")), usd) if is_sum else None


def _text(value: object) -> str:
    return str(value or "").replace("\0", "")[:300]


# --- records -----------------------------------------------------------------------------------


def _ship_records(database: Connection, results: Path, own: str) -> None:
    with asking():
        known: dict[str, datetime] = dict(
            database.execute(
                "SELECT path, written_at FROM sprint_records WHERE host_id = %s", [own]
            ).fetchall()
        )
    there = {}
    for path in (path for pattern in _RECORDS for path in results.glob(pattern)):
        try:
            there[str(path.relative_to(results))] = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except FileNotFoundError:
            continue
    for name, written_at in there.items():
        if known.get(name) != written_at:
            _ship_record(database, own, results, name, written_at)
    with asking():
        for name in known.keys() - there.keys():
            database.execute("DELETE FROM sprint_records WHERE host_id = %s AND path = %s", [own, name])


def _ship_record(database: Connection, own: str, results: Path, name: str, written_at: datetime) -> None:
    data = files.read(results / name)
    if data is None or len(data) > _RECORD_CAP:
        return
    try:
        with asking():
            database.execute(
                "INSERT INTO sprint_records VALUES (%s, %s, %s, %s::jsonb) ON CONFLICT (host_id, path)"
                " DO UPDATE SET written_at = excluded.written_at, record = excluded.record",
                [own, name, written_at, data.decode("utf-8", "replace").replace("\\u0000", "")],
            )
    except SprintError as error:
        if not isinstance(error.__cause__, psycopg.DataError):
            raise
        _log.info("%s is no record that can be shared", name)


# --- runs under way ----------------------------------------------------------------------------


def _ship_runs(database: Connection, results: Path, own: str) -> None:
    """Those under way; those that are over are forgotten, and what they kept of the ceiling is given back."""
    with asking():
        held = database.execute("SELECT run_id FROM sprint_reservations WHERE host_id = %s", [own]).fetchall()
    store = RunStore(results)
    active = store.active()  # read after what is held: a run is written down before it keeps anything
    for run in active:
        ship_run(database, store, run, own)
    names = [run.id for run in active]
    with asking(), database.transaction():
        database.execute(
            "DELETE FROM sprint_runs WHERE host_id = %s AND run_id != ALL(%s) AND saved_at < now() - %s",
            [own, names, _YOUNG],
        )
        over = [run_id for (run_id,) in held if run_id not in names]
        database.execute("DELETE FROM sprint_reservations WHERE run_id = ANY(%s)", [over])
        database.execute(
            "UPDATE sprint_reservations SET until = greatest(until, now() + %s) WHERE run_id = ANY(%s)",
            [HELD_FOR, names],
        )


def ship_run(database: Connection, store: RunStore, run: Run, own: str) -> None:
    """One run as it is now, unless another host has taken it over."""
    beside = {}
    for path in (path for pattern in _BESIDE for path in store.folder(run.id).glob(pattern)):
        data = files.read(path)
        if data is not None and len(data) <= _BESIDE_CAP:
            beside[path.name] = data.decode("utf-8", "replace")
    record = msgspec.json.encode(msgspec.to_builtins(run)).decode().replace("\\u0000", "")
    with asking():
        database.execute(
            "INSERT INTO sprint_runs (run_id, host_id, forge, repo, run, beside)"
            " VALUES (%s, %s, %s, %s, %s::jsonb, %s::jsonb) ON CONFLICT (run_id) DO UPDATE SET"
            " saved_at = now(), run = excluded.run, beside = excluded.beside"
            " WHERE sprint_runs.host_id = excluded.host_id",
            [run.id, own, run.forge, run.repo, record, json.dumps(beside).replace("\\u0000", "")],
        )


def forget_run(database: Connection, run_id: str, own: str) -> None:
    """A run of ours that is over."""
    with asking():
        database.execute("DELETE FROM sprint_runs WHERE run_id = %s AND host_id = %s", [run_id, own])


def left_behind(
    database: Connection, own: str, forge: str, repo: str, lost_after: timedelta
) -> list[tuple[Run, dict[str, str]]]:
    """Runs of a repository whose host was not seen for so long, or is drained; with files they need."""
    with asking():
        found = database.execute(_LEFT, [forge, repo, own, lost_after]).fetchall()
    left = []
    for text, beside in found:
        try:
            run = decoding.decode(text, Run)
        except msgspec.MsgspecError as error:  # of another version
            _log.info("a run of another host cannot be read: %s", error)
            continue
        left.append((run, {name: text for name, text in beside.items() if _BESIDE_NAME.fullmatch(name)}))
    return left


def take_over(database: Connection, store: RunStore, run: Run, own: str) -> None:
    """The run and what it keeps of the ceiling are this host's from now on. Any number of times."""
    with asking(), database.transaction():
        database.execute("UPDATE sprint_runs SET host_id = %s WHERE run_id = %s", [own, run.id])
        database.execute("UPDATE sprint_reservations SET host_id = %s WHERE run_id = %s", [own, run.id])
    ship_run(database, store, run, own)


def is_elsewhere(database: Connection, run_id: str, own: str) -> bool:
    """Whether another host has this run, or has made its row."""
    with asking():
        found = database.execute(
            "SELECT 1 FROM sprint_runs WHERE run_id = %(run)s AND host_id != %(own)s"
            " UNION ALL SELECT 1 FROM sprint_rows WHERE run_id = %(run)s AND host_id != %(own)s",
            {"run": run_id, "own": own},
        ).fetchone()
    return found is not None


# --- places ------------------------------------------------------------------------------------


def one_at_a_time(database: Connection) -> None:
    """Until the transaction ends: rows get their positions in the order in which they can be seen."""
    database.execute("SELECT pg_advisory_xact_lock(%s)", [ONE_AT_A_TIME])


def _cursors(database: Connection, own: str) -> dict[str, int]:
    with asking():
        return dict(
            database.execute("SELECT path, position FROM sprint_cursors WHERE host_id = %s", [own]).fetchall()
        )


def _set_cursor(database: Connection, own: str, name: str, position: int) -> None:
    database.execute(
        "INSERT INTO sprint_cursors VALUES (%s, %s, %s)"
        " ON CONFLICT (host_id, path) DO UPDATE SET position = excluded.position",
        [own, name, position],
    )
