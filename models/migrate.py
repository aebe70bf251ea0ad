"""Brings a database to the newest schema."""

from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, inspect, text

from models.database import configure_sqlite, create_sqlite_file, parse_url

_MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 0x696E6669726D  # "infirm"; any number that every replica agrees on


class UnknownRevisionError(Exception):
    """The database has a schema that this code does not know, most likely of a newer version."""


def migrate(url: str) -> None:
    """Upgrade to the newest schema, in one transaction; a no-op of a few milliseconds when it is there.

    Replicas may start at once: the first migrates, the others wait for it. Raises UnknownRevisionError,
    ValueError for an address that is neither SQLite nor PostgreSQL, and what the database raises.
    """
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            _lock(connection)
            if _revision(connection) != head():
                _upgrade(connection)
    finally:
        engine.dispose()


def head() -> str:
    """The newest revision, read from the file names: to import Alembic would cost each start 0.2 s."""
    return max(_known())


def _known() -> frozenset[str]:
    return frozenset(path.name[:4] for path in (_MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def _engine(url: str) -> Engine:
    address = parse_url(url)
    if address.get_backend_name() != "sqlite":
        return create_engine(address, hide_parameters=True)
    create_sqlite_file(address)
    engine = create_engine(address, hide_parameters=True)
    configure_sqlite(engine)
    return engine


def _lock(connection: Connection) -> None:
    """Held to the end of the transaction; on SQLite, BEGIN IMMEDIATE has taken the lock already."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})


def _revision(connection: Connection) -> str | None:
    """The revision of the database, None when it is new."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if revision is not None and revision not in _known():
        raise UnknownRevisionError(
            f"the database is at schema revision {revision} and this version knows none after {head()}:"
            " install the version that made it, or restore the backup taken before it"
        )
    return revision


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 (only a start that migrates pays for the import)
    from alembic.config import Config  # noqa: PLC0415 (as above)

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, "head")
