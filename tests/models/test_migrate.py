import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from models import api_key, audit_record
from models.base import Base
from models.database import parse_url
from models.migrate import UnknownRevisionError, head, migrate

MIGRATE = "import sys; from models.migrate import migrate; migrate(sys.argv[1])"
TABLES = {api_key.ApiKey.__tablename__, audit_record.AuditRecord.__tablename__}


def test_migrations_and_metadata_agree(database_url: str) -> None:
    migrate(database_url)
    engine = create_engine(parse_url(database_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []
        assert set(inspect(connection).get_table_names()) == {*TABLES, "alembic_version"}
    engine.dispose()


def test_constraints_agree(database_url: str, tmp_path: Path) -> None:
    """`compare_metadata` looks at neither check constraints nor names."""
    migrate(database_url)
    engine = create_engine(parse_url(database_url))
    migrated = constraints(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE audit_record"))
        connection.execute(text("DROP TABLE api_key"))
        Base.metadata.create_all(connection)
    assert constraints(engine) == migrated
    engine.dispose()


def test_head_is_alembics_head() -> None:
    config = Config()
    config.set_main_option("script_location", "models:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [head()]


def test_replicas_that_start_at_once(database_url: str) -> None:
    command = [sys.executable, "-c", MIGRATE, database_url]
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(subprocess.run, command, check=True) for _ in range(3)]
        for run in runs:
            run.result()


def test_a_migrated_database_starts_without_alembic(database_url: str) -> None:
    migrate(database_url)
    code = f"{MIGRATE}; sys.exit('alembic' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, database_url], check=True)


def test_a_newer_database_is_refused(database_url: str) -> None:
    migrate(database_url)
    engine = create_engine(parse_url(database_url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(UnknownRevisionError, match="revision 9999"):
        migrate(database_url)


def constraints(engine) -> dict[str, object]:
    inspector = inspect(engine)
    return {
        table: (
            inspector.get_pk_constraint(table),
            inspector.get_unique_constraints(table),
            inspector.get_foreign_keys(table),
            sorted(check["name"] for check in inspector.get_check_constraints(table)),
            [column["name"] for column in inspector.get_columns(table)],
        )
        for table in sorted(TABLES)
    }
