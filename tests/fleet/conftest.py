"""The fleet's tests share one PostgreSQL; each has a database of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fleet.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture
def database(postgres: Postgres) -> str:
    """The URL of an empty database."""
    return postgres.database()
