"""All hosts' results as one folder, as each host's own are: whatever reads one host's reads the fleet's.

It is kept in the cache, and brought up to date with what came to the database since. Nobody else writes it.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from sprint import decoding, files, heartbeat, json_file
from sprint.domain import Together
from sprint.fleet import hosts
from sprint.fleet.database import Connection, asking
from sprint.heartbeat import Heartbeat
from sprint.ledger import rows
from sprint.lock import lock

_LOCK_SECONDS = 120.0
# Hosts ship within seconds of each other: so much out of order, the rows' order tells nothing wrong.
_OUT_OF_ORDER = timedelta(minutes=10)
_PLACE = "place.json"
_SHOWN = {
    "finished_at": """to_char(finished_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')""",
}
_NEW_ROWS = (
    f"COPY (SELECT {', '.join(_SHOWN.get(name, name) for name in rows.COLUMNS)} FROM sprint_rows"  # noqa: S608
    " WHERE position > %s AND position <= %s AND old_line IS NULL ORDER BY finished_at, position)"
    " TO STDOUT (FORMAT csv)"
).encode()
_OLD_ROWS = (
    b"COPY (SELECT old_line FROM sprint_rows WHERE position <= %s AND old_line IS NOT NULL"
    b" ORDER BY finished_at, position) TO STDOUT"
)


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """How far the folder has come: the fleet's id, the last row's position, the ledger's bytes until there,
    and the newest row's time; `synced_at` by the database's clock."""

    fleet: str
    position: int = 0
    size: int = 0
    newest: datetime | None = None
    synced_at: datetime | None = None


def pooled(database: Connection, folder: Path) -> Together:
    """The folder, with all that the database has now. Raises SprintError."""
    results = folder / "results"
    files.make_folder(results)
    with lock(folder / "pooled.lock", wait=_LOCK_SECONDS, what="reads the fleet's database"):
        with asking(), database.transaction():
            database.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            place = _with_rows(database, results, _place(database, folder))
            with files.refusing("write in", results):
                _write_records(database, results)
                _write_spend(database, results)
                _write_runs(database, results)
        json_file.write(folder / _PLACE, place, durable=False)
    return Together(results, tuple(hosts.read(database)))


def pooled_before(folder: Path, own: Path, problem: str) -> Together:
    """The folder as it was last, while the database is away; `own` results where it never was there."""
    place = json_file.read_if_sound(folder / _PLACE, _Place)
    if place is None or place.synced_at is None:
        return Together(own, problem=f"{problem}; shown is this host alone")
    return Together(
        folder / "results",
        problem=f"{problem}; shown is what was known at {place.synced_at:%Y-%m-%d %H:%M} UTC",
    )


def _place(database: Connection, folder: Path) -> _Place:
    now, fleet = database.execute("SELECT now(), value FROM sprint_meta WHERE name = 'fleet'").fetchone() or (
        0,
        "",
    )
    place = json_file.read_if_sound(folder / _PLACE, _Place)
    if place is None or place.fleet != fleet:
        return _Place(fleet=fleet, synced_at=now)
    return msgspec.structs.replace(place, synced_at=now)


# --- the ledger --------------------------------------------------------------------------------


def _with_rows(database: Connection, results: Path, place: _Place) -> _Place:
    last, oldest, newest = database.execute(
        "SELECT max(position), min(finished_at), max(finished_at) FROM sprint_rows WHERE position > %s",
        [place.position],
    ).fetchone() or (None, None, None)
    path = results / "results.csv"
    is_sound = place.position == 0 or (path.exists() and path.stat().st_size >= place.size)
    if last is None and is_sound:
        return place
    is_late = place.newest is not None and oldest is not None and oldest < place.newest - _OUT_OF_ORDER
    if not is_sound or is_late or place.position == 0:
        return _all_rows(database, path, place)
    with files.refusing("write", path), path.open("r+b") as file:
        file.truncate(place.size)  # of a process that was killed before it noted how far it had come
        file.seek(place.size)
        _copy(database, file, _NEW_ROWS, place.position, last)
        size = file.tell()
    return msgspec.structs.replace(
        place, position=last, size=size, newest=max(newest, place.newest or newest)
    )


def _all_rows(database: Connection, path: Path, place: _Place) -> _Place:
    last, newest = database.execute("SELECT max(position), max(finished_at) FROM sprint_rows").fetchone() or (
        None,
        None,
    )
    draft = path.with_name(f".{path.name}.new")
    with files.refusing("write", draft), draft.open("wb") as file:
        if last is not None:
            _copy(database, file, _OLD_ROWS, last)
            file.write(",".join(rows.COLUMNS).encode() + b"\n")
            _copy(database, file, _NEW_ROWS, 0, last)
        size = file.tell()
    with files.refusing("write", path):
        draft.replace(path)
    return msgspec.structs.replace(place, position=last or 0, size=size, newest=newest)


def _copy(database: Connection, file: Any, query: bytes, *positions: int) -> None:
    with database.cursor().copy(query, positions) as copy:
        for block in copy:
            file.write(block)


# --- small files -------------------------------------------------------------------------------


def _write_records(database: Connection, results: Path) -> None:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for path, record in database.execute(
        "SELECT path, record FROM sprint_records ORDER BY host_id"
    ).fetchall():
        if isinstance(record, dict) and ".." not in Path(path).parts and not Path(path).is_absolute():
            found[path].append(record)
    there = {
        str(path.relative_to(results))
        for pattern in ("heartbeat/*/*/*.json", "health/*.json", "pull_states.json")
        for path in results.glob(pattern)
    }
    for name in there - found.keys():
        (results / name).unlink(missing_ok=True)
    for name, records in found.items():
        _write(results / name, _as_one(name, records))


def _as_one(name: str, records: list[dict[str, Any]]) -> object:
    if name.startswith("heartbeat/"):
        return _heartbeat(records)
    if name == "pull_states.json":
        return _pulls(records)
    return max(records, key=lambda record: str(record.get("asked_at") or record.get("noted_at") or ""))


def _heartbeat(records: list[dict[str, Any]]) -> object:
    beats = []
    for record in records:
        try:
            beats.append(decoding.convert(record, Heartbeat, strict=False))
        except msgspec.ValidationError:
            continue
    return heartbeat.of_all(beats) if beats else records[0]


def _pulls(records: list[dict[str, Any]]) -> object:
    """Each pull request as it was asked for last; the time is that of the host that asked longest ago."""
    pulls: dict[str, dict[str, Any]] = {}
    for record in records:
        for pull in record.get("pulls") or ():
            known = pulls.get(pull.get("pr_url", ""))
            if known is None or str(pull.get("asked_at") or "") > str(known.get("asked_at") or ""):
                pulls[pull.get("pr_url", "")] = pull
    with_some = [record for record in records if record.get("pulls")] or records
    problems = dict.fromkeys(record["problem"] for record in records if record.get("problem"))
    return {
        **records[0],
        "asked_at": min((r["asked_at"] for r in with_some if r.get("asked_at")), default=None),
        "problem": "; ".join(problems),
        "pulls": sorted(
            pulls.values(), key=lambda pull: (str(pull.get("opened_at")), pull.get("pr_url", ""))
        ),
    }


def _write(path: Path, record: object) -> None:
    data = msgspec.json.encode(record) + b"\n"
    if files.read(path) != data:
        files.make_folder(path.parent)
        files.replace(path, data, durable=False)


def _write_spend(database: Connection, results: Path) -> None:
    """Today's, a line for each run."""
    (day,) = database.execute("SELECT (now() AT TIME ZONE 'UTC')::date").fetchone() or ("",)
    found = database.execute(
        "SELECT max(at), run_id, sum(usd) FROM sprint_spend WHERE day = %s GROUP BY run_id ORDER BY run_id",
        [day],
    ).fetchall()
    path = results / "spend" / f"{day}.jsonl"
    files.make_folder(path.parent)
    for other in path.parent.glob("*.jsonl"):
        if other != path:
            other.unlink(missing_ok=True)
    lines = [
        json.dumps({"at": at.isoformat(timespec="milliseconds"), "run": run, "usd": float(usd)})
        for at, run, usd in found
    ]
    data = "".join(f"{line}\n" for line in lines).encode()
    if files.read(path) != data:
        files.replace(path, data, durable=False)


def _write_runs(database: Connection, results: Path) -> None:
    found = dict(_runs(database))
    (results / "active").mkdir(mode=0o700, exist_ok=True)
    for marker in list((results / "active").iterdir()):
        if marker.name not in found:
            marker.unlink(missing_ok=True)
            shutil.rmtree(results / "runs" / marker.name, ignore_errors=True)
    for run_id, record in found.items():
        _write(results / "runs" / run_id / "run.json", record)
        (results / "active" / run_id).touch(mode=0o600)


def _runs(database: Connection) -> Iterator[tuple[str, object]]:
    for run_id, record in database.execute("SELECT run_id, run FROM sprint_runs").fetchall():
        if "/" not in run_id and not run_id.startswith("."):
            yield run_id, {"version": 1, **record}
