"""One database, SQLite or PostgreSQL, and its short transactions."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

DATABASE_ERRORS = (SQLAlchemyError, OSError)
"""What a database raises that is gone, full, locked or refuses a row."""
AlreadyThere = IntegrityError
"""Raised for a row that a constraint refuses, most often because another replica wrote it first."""

_CONNECT_TIMEOUT_S = 5
_READ_LIMIT_S = 5
_READ_ONLY = {"infirmary_read_only": True, "postgresql_readonly": True}
_SQLITE_PRAGMAS = (
    "PRAGMA busy_timeout = 5000",  # first: the switch to WAL itself takes a lock
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # in WAL mode NORMAL may lose acknowledged commits with the power
    "PRAGMA foreign_keys = ON",
)


class Database:
    """One database and its short transactions.

    `url` is `sqlite:///path` or `postgresql://user:password@host/name`; ValueError when it is neither. A
    SQLite file is created, readable by its owner only, when it is not there.
    """

    def __init__(self, url: str) -> None:
        address = parse_url(url)
        self._sqlite = address.get_backend_name() == "sqlite"
        self._engine = _sqlite_engine(address) if self._sqlite else _postgresql_engine(address)
        # SQLite lets one writer in and has the others poll; within a process a queue is fairer and quicker.
        self._writer = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self, *, read_only: bool = False) -> AsyncIterator[AsyncSession]:
        """A session that commits at the end and rolls back on an error; its objects stay readable.

        A read that takes longer than 5 s is given up with TimeoutError.
        """
        async with (
            asyncio.timeout(_READ_LIMIT_S if read_only else None),
            self._turn(read_only),
            AsyncSession(self._engine, expire_on_commit=False) as session,
        ):
            await session.connection(execution_options=_READ_ONLY if read_only else {})
            yield session
            await session.commit()

    async def ping(self) -> None:
        """Ask the database for one row; raises what the database raises."""
        async with self.transaction(read_only=True) as session:
            await session.execute(text("SELECT 1"))

    async def dispose(self) -> None:
        """Close the pool. Transactions still open keep their connection."""
        await self._engine.dispose()

    def _turn(self, read_only: bool) -> AbstractAsyncContextManager[None]:
        return self._writer if self._sqlite and not read_only else nullcontext()


def parse_url(url: str) -> URL:
    """The address with its driver, `sqlite` or `postgresql+psycopg`; ValueError, unquoted, for any other."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        # A ValueError quotes what stands in the port's place, which may be a part of the password.
        raise ValueError("the database address is not a URL") from None
    match address.drivername:
        case "sqlite" | "sqlite+aiosqlite" if address.database not in (None, "", ":memory:"):
            return address.set(drivername="sqlite")
        case "postgresql" | "postgres" | "postgresql+psycopg":
            patience = {"connect_timeout": str(_CONNECT_TIMEOUT_S), **address.query}
            return address.set(drivername="postgresql+psycopg", query=patience)
    raise ValueError("the database address must begin with sqlite:///path or postgresql://")


def configure_sqlite(engine: Engine) -> None:
    """Give every connection its pragmas, and begin transactions ourselves.

    A writer takes the lock at BEGIN: two deferred transactions that both read and then write would deadlock.
    Source: https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#sqlite-transactions
    """

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in _SQLITE_PRAGMAS:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        read_only = connection.get_execution_options().get("infirmary_read_only", False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def create_sqlite_file(address: URL) -> None:
    """Create the file and the directories above it for the owner only; the WAL takes its mode."""
    path = Path(address.database or "")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _sqlite_engine(address: URL) -> AsyncEngine:
    create_sqlite_file(address)
    engine = create_async_engine(
        address.set(drivername="sqlite+aiosqlite"), pool_timeout=_CONNECT_TIMEOUT_S, hide_parameters=True
    )
    configure_sqlite(engine.sync_engine)
    return engine


def _postgresql_engine(address: URL) -> AsyncEngine:
    return create_async_engine(
        address,
        pool_pre_ping=True,
        pool_timeout=_CONNECT_TIMEOUT_S,
        hide_parameters=True,
    )
