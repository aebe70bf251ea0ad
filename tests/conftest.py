"""The databases of the suite: SQLite files, and a real PostgreSQL that lives as long as the session."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from models.database import Database
from models.migrate import migrate

INSTALL = "PostgreSQL is not installed: apt-get install -y postgresql"
DISCONNECT_OTHERS = (
    "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
DURABILITY_OFF = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"


@dataclass(frozen=True)
class PostgresCluster:
    """A running server that listens on a unix socket in `directory` only."""

    directory: Path

    def empty_database(self) -> str:
        """The address of a database with nothing in it and nobody connected.

        It is one database, emptied: to create another copies 300 files, which takes a third of a second.
        """
        with psycopg.connect(host=str(self.directory), user="postgres", autocommit=True) as connection:
            connection.execute(DISCONNECT_OTHERS)
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return f"postgresql://postgres@/postgres?host={self.directory}"


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    binaries = find_postgres()
    if binaries is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(INSTALL)
    with running_cluster(binaries) as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'infirmary.db'}"
    cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
    return cluster.empty_database()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database."""
    migrate(database_url)
    database = Database(database_url)
    yield database
    await database.dispose()


def find_postgres() -> Path | None:
    """The directory of initdb and pg_ctl: the newest of Debian's, else the one on the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    found = debian[-1] if debian else on_path and Path(on_path)
    return found.parent if found else None


@contextmanager
def running_cluster(binaries: Path) -> Iterator[PostgresCluster]:
    # Short on purpose: a socket path holds 107 bytes, and pytest's own directories are closed to other users.
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    user = "postgres" if os.geteuid() == 0 else None  # initdb refuses to run as root
    if user:
        shutil.chown(directory, user, user)

    def run(*command: str) -> None:
        subprocess.run(
            [binaries / command[0], "-D", directory / "data", *command[1:]],
            check=True,
            cwd=directory,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            stdout=subprocess.DEVNULL,
        )

    run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C")
    options = f"-c listen_addresses='' -k {directory} {DURABILITY_OFF}"
    run("pg_ctl", "start", "--wait", "--silent", "--log", str(directory / "log"), "-o", options)
    try:
        yield PostgresCluster(directory)
    finally:
        run("pg_ctl", "stop", "--silent", "--mode=immediate")
        shutil.rmtree(directory)
