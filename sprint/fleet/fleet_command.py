"""`sprint fleet init`, `run`, `drain` and the like: what an operator does with a fleet by hand."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from sprint.config import Config
from sprint.errors import ConfigError
from sprint.fleet import hosts, shipping, tables, ticks
from sprint.fleet.database import Connection, asking, connect, url_of
from sprint.surroundings import Surroundings


def init(config: Config, around: Surroundings) -> int:
    """Make the tables. Raises SprintError."""
    with closing(connect(url_of(config, around))) as database:
        around.out.write(f"{tables.set_up(database)}; on each host: sprint fleet worker\n")
    return 0


def examine(config: Config, around: Surroundings) -> str:
    """What its database is found to be, in words. Raises SprintError where a tick could not use it."""
    with closing(connect(url_of(config, around))) as database:
        tables.check(database)
        seen = len(hosts.read(database))
    return f"its database answers, its tables are of this version; hosts seen in 30 days: {seen}"


def run(config: Config, repos: Sequence[str], around: Surroundings) -> int:
    """Put a tick in for each repository. Raises SprintError."""
    found = ticks.wanted(config, repos)
    with closing(connect(url_of(config, around))) as database:
        tables.check(database)
        for repo in found:
            is_new = ticks.put_in(database, repo)
            said = "a tick is put in" if is_new else "a tick waits already, and comes first now"
            around.out.write(f"{repo.name}: {said}\n")
    return 0


def drain(config: Config, named: str, around: Surroundings) -> int:
    """Have a host take no ticks. Raises SprintError."""
    return _set_drained(config, named, True, "takes no more ticks; those under way there go on", around)


def resume(config: Config, named: str, around: Surroundings) -> int:
    """Have it take them again. Raises SprintError."""
    return _set_drained(config, named, False, "takes ticks again", around)


def _set_drained(config: Config, named: str, drained: bool, said: str, around: Surroundings) -> int:
    with closing(connect(url_of(config, around))) as database:
        tables.check(database)
        found = hosts.set_drained(database, named, drained)
    around.out.write(f"{found.name} ({found.id}) {said}\n")
    return 0


def import_rows(config: Config, files: Sequence[Path], around: Surroundings) -> int:
    """Add the rows of ledgers, each run once however often it is given. Raises SprintError."""
    with closing(connect(url_of(config, around))) as database:
        tables.check(database)
        for given in files:
            path = around.cwd / given.expanduser()
            folder = path if path.is_dir() else path.parent
            if not (folder / "results.csv").is_file() or path.name not in (folder.name, "results.csv"):
                raise ConfigError(f"{given}: give a file results.csv, or the folder that it is in")
            with asking(), database.transaction():
                shipping.one_at_a_time(database)
                before = _count(database)
                given_rows = shipping.add_rows(database, "", shipping.all_rows(folder))
                added = _count(database) - before
            around.out.write(f"{given}: {given_rows} rows, of which {added} were not there yet\n")
    return 0


def _count(database: Connection) -> int:
    (count,) = database.execute("SELECT count(*) FROM sprint_rows").fetchone() or (0,)
    return int(count)
