import asyncio
import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, StatementError

from models import api_key
from models.api_key import ApiKey
from models.database import Database, parse_url
from models.migrate import migrate


def new_key(digest: str) -> dict[str, object]:
    return {"name": "ehr", "prefix": "inf_abcd", "digest": digest, "scopes": ["chat"]}


async def test_ping(database: Database) -> None:
    await database.ping()


async def test_an_error_rolls_back(database: Database) -> None:
    with pytest.raises(RuntimeError):
        async with database.transaction() as session:
            await api_key.add(session, **new_key("a"))
            raise RuntimeError
    async with database.transaction() as session:
        assert await api_key.count(session) == 0


async def test_many_read_then_write_transactions_at_once(database: Database) -> None:
    async def add(number: int) -> None:
        async with database.transaction() as session:
            await api_key.count(session)
            await api_key.add(session, **new_key(str(number)))

    await asyncio.gather(*(add(number) for number in range(40)))
    async with database.transaction(read_only=True) as session:
        assert await api_key.count(session) == 40


async def test_two_processes_worth_of_writers(database_url: str) -> None:
    migrate(database_url)
    replicas = [Database(database_url), Database(database_url)]

    async def add(number: int) -> None:
        async with replicas[number % 2].transaction() as session:
            await api_key.count(session)
            await api_key.add(session, **new_key(str(number)))

    await asyncio.gather(*(add(number) for number in range(20)))
    for replica in replicas:
        await replica.dispose()


async def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    async with database.transaction() as writer:
        await api_key.add(writer, **new_key("a"))
        async with asyncio.timeout(2), database.transaction(read_only=True) as reader:
            assert await api_key.count(reader) == 0


async def test_a_cancelled_transaction_leaves_the_database_usable(database: Database) -> None:
    async def hold() -> None:
        async with database.transaction() as session:
            await api_key.add(session, **new_key("a"))
            await asyncio.sleep(60)

    task = asyncio.create_task(hold())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait([task])
    async with database.transaction() as session:
        assert await api_key.count(session) == 0


async def test_timestamps_come_back_in_utc(database: Database) -> None:
    moment = datetime(2026, 3, 1, 1, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    async with database.transaction() as session:
        session.add(ApiKey(**new_key("a"), created_at=moment))
    async with database.transaction() as session:
        key = await api_key.find_by_digest(session, "a")
    assert key is not None
    assert key.created_at == moment
    assert key.created_at.tzinfo is UTC


async def test_a_naive_timestamp_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="needs a time zone"):
        async with database.transaction() as session:
            session.add(ApiKey(**new_key("a"), created_at=datetime(2026, 3, 1)))


async def test_errors_do_not_quote_parameters(database: Database) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with database.transaction() as session:
            await session.execute(text("SELECT * FROM nowhere WHERE name = :name"), {"name": "Jane Doe"})
    assert "Jane" not in str(caught.value)


async def test_connections_that_postgresql_closed_are_replaced(postgres_cluster) -> None:
    database = Database(postgres_cluster.empty_database())
    await database.ping()
    postgres_cluster.empty_database()  # disconnects everybody
    await database.ping()
    await database.dispose()


def test_the_sqlite_file_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "data" / "infirmary.db"
    migrate(f"sqlite:///{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_sqlite_pragmas(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'infirmary.db'}")
    async with database.transaction() as session:
        values = [
            await session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        ]
        assert modes(tmp_path) == {0o600}
    assert values == ["wal", 1, 5000, 2]
    await database.dispose()


def modes(directory: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///a.db", "sqlite"),
        ("postgresql://u:p@h/d", "postgresql+psycopg"),
        ("postgres://u:p@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg"),
    ],
)
def test_addresses(url: str, driver: str) -> None:
    assert parse_url(url).drivername == driver


@pytest.mark.parametrize("url", ["mysql://u:hunter2@h/d", "hunter2", "sqlite://", "sqlite:///:memory:", ""])
def test_other_addresses_are_refused_unquoted(url: str) -> None:
    with pytest.raises(ValueError, match="database address") as caught:
        parse_url(url)
    assert "hunter2" not in str(caught.value)
