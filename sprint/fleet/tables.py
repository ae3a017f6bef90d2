"""The fleet's tables: sprint's own, and those of Procrastinate beside them."""

from __future__ import annotations

import importlib.metadata
import re
from typing import LiteralString

from procrastinate.schema import SchemaManager, migrations_path

from sprint.fleet.database import Connection, NotSetUp, asking
from sprint.ledger import rows

VERSION = 1
COLUMNS = len(rows.COLUMNS)  # a host with fewer than the table has is an older one, and may go on
ONE_AT_A_TIME = 7_238_116_540  # the advisory lock of whoever adds rows or counts dollars
_MIGRATION = re.compile(r"(\d+)\.(\d+)\.(\d+)_\d+_.*\.sql")

# Times are UTC. A host is named by the random id of its results folder.
_TABLES: LiteralString = """
CREATE TABLE IF NOT EXISTS sprint_meta (name text PRIMARY KEY, value text NOT NULL);

CREATE TABLE IF NOT EXISTS sprint_hosts (
    id text PRIMARY KEY,
    name text NOT NULL,
    version text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now(),
    has_worker boolean NOT NULL DEFAULT false,
    jobs integer NOT NULL DEFAULT 0,
    repos jsonb NOT NULL DEFAULT '[]',
    worker_id bigint,
    is_drained boolean NOT NULL DEFAULT false
);

-- results.csv of all hosts: its columns as they stand there, a run once. `position` counts rows as they came.
CREATE TABLE IF NOT EXISTS sprint_rows (
    run_id text PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    host_id text NOT NULL,
    finished_at timestamptz NOT NULL,
    repo text NOT NULL,
    issue bigint,
    outcome text NOT NULL,
    exit_code bigint NOT NULL,
    pr_url text NOT NULL DEFAULT '',
    branch text NOT NULL DEFAULT '',
    worker text NOT NULL DEFAULT '',
    model text NOT NULL DEFAULT '',
    attempt bigint NOT NULL DEFAULT 1,
    duration_s numeric(14, 1) NOT NULL DEFAULT 0,
    turns bigint NOT NULL DEFAULT 0,
    prompt_tokens bigint NOT NULL DEFAULT 0,
    completion_tokens bigint NOT NULL DEFAULT 0,
    cost_usd numeric(16, 6),
    host text NOT NULL DEFAULT '',
    detail text NOT NULL DEFAULT '',
    proof text NOT NULL DEFAULT '',
    worker_version text NOT NULL DEFAULT '',
    purpose text NOT NULL DEFAULT 'issue',
    round bigint NOT NULL DEFAULT 0,
    paused_s numeric(14, 1) NOT NULL DEFAULT 0,
    old_line text  -- of the system before: the line as it was
);
CREATE UNIQUE INDEX IF NOT EXISTS sprint_rows_position ON sprint_rows (position);
CREATE INDEX IF NOT EXISTS sprint_rows_finished_at ON sprint_rows (finished_at);

-- A line of results/spend/DAY.jsonl: the byte at which it begins tells it from all others.
CREATE TABLE IF NOT EXISTS sprint_spend (
    host_id text NOT NULL,
    day date NOT NULL,
    position bigint NOT NULL,
    at timestamptz NOT NULL,
    run_id text NOT NULL,
    usd numeric NOT NULL,
    PRIMARY KEY (day, host_id, position)
);
CREATE INDEX IF NOT EXISTS sprint_spend_run ON sprint_spend (run_id);

-- What a run may still spend: of `usd` what it has not spent yet, until it is over or the time is.
CREATE TABLE IF NOT EXISTS sprint_reservations (
    run_id text PRIMARY KEY,
    host_id text NOT NULL,
    usd numeric NOT NULL,
    why text NOT NULL,
    until timestamptz NOT NULL
);

-- Small files of a host's results: heartbeats, health, what became of pull requests.
CREATE TABLE IF NOT EXISTS sprint_records (
    host_id text NOT NULL,
    path text NOT NULL,
    written_at timestamptz NOT NULL,
    record jsonb NOT NULL,
    PRIMARY KEY (host_id, path)
);

-- Runs that are not settled, as run.json has them. `beside`: further files of the run's folder, by name.
CREATE TABLE IF NOT EXISTS sprint_runs (
    run_id text PRIMARY KEY,
    host_id text NOT NULL,
    forge text NOT NULL,
    repo text NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT now(),
    run jsonb NOT NULL,
    beside jsonb NOT NULL DEFAULT '{}'
);

-- How far a file of a host's has been shipped, in bytes.
CREATE TABLE IF NOT EXISTS sprint_cursors (
    host_id text NOT NULL,
    path text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (host_id, path)
);
"""


def set_up(database: Connection) -> str:
    """Make the tables, or bring them up to date; returns what was done. Any number of times.

    Raises DatabaseAway, also where the database's user may not make tables.
    """
    there = importlib.metadata.version("procrastinate")
    with asking(), database.transaction():
        database.execute("SELECT pg_advisory_xact_lock(%s)", [ONE_AT_A_TIME])
        is_new = database.execute("SELECT to_regclass('procrastinate_jobs') IS NULL").fetchone() == (True,)
        database.execute(_TABLES)
        for name in rows.COLUMNS:  # those that came later are texts
            database.execute(
                f"ALTER TABLE sprint_rows ADD COLUMN IF NOT EXISTS {name} text NOT NULL DEFAULT ''".encode()
            )
        if is_new:
            database.execute(SchemaManager.get_schema())
        else:
            for migration in _migrations(_known(database, "procrastinate")):
                database.execute(migration.encode())
        database.execute(
            "INSERT INTO sprint_meta VALUES ('fleet', gen_random_uuid()::text) ON CONFLICT DO NOTHING"
        )
        for name, value in (
            ("version", str(VERSION)),
            ("columns", str(COLUMNS)),
            ("procrastinate", there),
        ):
            database.execute(
                "INSERT INTO sprint_meta VALUES (%s, %s)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                [name, value],
            )
    return "made the tables" if is_new else "the tables are up to date"


def check(database: Connection) -> None:
    """Raises NotSetUp where `sprint fleet init` is needed, or a newer sprint."""
    with asking():
        version, columns = (int(_known(database, name) or 0) for name in ("version", "columns"))
    if version > VERSION:
        raise NotSetUp(
            f"the fleet's tables are of version {version}: install the other hosts' version of sprint"
        )
    if version < VERSION or columns < COLUMNS:
        raise NotSetUp("the fleet's tables are those of an older sprint: `sprint fleet init`")


def _known(database: Connection, name: str) -> str:
    row = database.execute("SELECT value FROM sprint_meta WHERE name = %s", [name]).fetchone()
    return row[0] if row else ""


def _migrations(since: str) -> list[str]:
    """Procrastinate's own, that came after a version, in their order; none where that is not known."""
    known = tuple(int(part) for part in re.findall(r"\d+", since)[:3])
    found: list[str] = []
    for path in sorted(migrations_path.glob("*.sql")):
        match = _MIGRATION.fullmatch(path.name)
        if known and match and tuple(map(int, match.groups())) > known:
            found.append(path.read_text("utf-8"))
    return found
