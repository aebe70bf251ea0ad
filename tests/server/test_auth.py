import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from models import api_key
from models.base import now
from models.database import Database
from server.auth import (
    Authenticator,
    KeyDigester,
    Scope,
    ensure_bootstrap_key,
    generate_key,
    load_or_create_secret,
    require,
)
from server.errors import Forbidden, StartupError, Unauthenticated, Unavailable

DIGESTER = KeyDigester(b"s" * 32)
OPERATORS_KEY = "an-operators-own-key"


@pytest.fixture
def authenticator(database: Database) -> Authenticator:
    return Authenticator(database, DIGESTER)


async def add_key(database: Database, **fields: object) -> str:
    key = generate_key()
    row = {"name": "ehr", "prefix": key[:8], "digest": DIGESTER.digest(key), "scopes": ["chat"]}
    async with database.transaction() as session:
        await api_key.add(session, **(row | fields))
    return key


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_good_key(database: Database, authenticator: Authenticator, scheme: str) -> None:
    key = await add_key(database, tenant="ward-3")
    principal = await authenticator.authenticate(f"{scheme} {key}")
    assert (principal.name, principal.tenant, principal.scopes) == ("ehr", "ward-3", {Scope.CHAT})


@pytest.mark.parametrize(
    "header",
    [
        None, "", "Bearer", "Bearer ", "Basic abc", "abc", "Bearer unknown", "Bearer a b", "Bearer clé",
        "Bearer a\x00b", "Bearer a\nb", "Bearer \ud800", "Bearer " + "a" * 10_000, "Bearer\tabc",
    ],
)  # fmt: skip
async def test_bad_headers(authenticator: Authenticator, header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(header)


async def test_an_expired_key(database: Database, authenticator: Authenticator) -> None:
    key = await add_key(database, expires_at=now() - timedelta(seconds=1))
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(f"Bearer {key}")


async def test_a_scope_that_this_version_does_not_know_is_left_out(
    database: Database, authenticator: Authenticator
) -> None:
    key = await add_key(database, scopes=["chat", "surgery"])
    assert (await authenticator.authenticate(f"Bearer {key}")).scopes == {Scope.CHAT}


async def test_a_database_without_tables(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(Unavailable) as caught:
        await Authenticator(database, DIGESTER).authenticate("Bearer key")
    assert caught.value.status == 503
    await database.dispose()


async def test_a_database_that_is_down() -> None:
    database = Database("postgresql://127.0.0.1:1/none")
    with pytest.raises(Unavailable):
        await Authenticator(database, DIGESTER).authenticate("Bearer key")
    await database.dispose()


async def test_require(database: Database, authenticator: Authenticator) -> None:
    principal = await authenticator.authenticate(f"Bearer {await add_key(database)}")
    require(principal, Scope.CHAT)
    with pytest.raises(Forbidden, match="'admin'"):
        require(principal, Scope.ADMIN)


async def test_the_first_key_is_made_once(database: Database, authenticator: Authenticator) -> None:
    key = await ensure_bootstrap_key(database, DIGESTER, None)
    assert key is not None
    principal = await authenticator.authenticate(f"Bearer {key}")
    assert principal.scopes == set(Scope)
    assert await ensure_bootstrap_key(database, DIGESTER, None) is None


async def test_the_operators_key_is_added_once(database: Database, authenticator: Authenticator) -> None:
    await add_key(database)
    for _ in range(2):
        assert await ensure_bootstrap_key(database, DIGESTER, OPERATORS_KEY) is None
    assert (await authenticator.authenticate(f"Bearer {OPERATORS_KEY}")).scopes == set(Scope)
    async with database.transaction() as session:
        assert await api_key.count(session) == 2
        row = await api_key.find_by_digest(session, DIGESTER.digest(OPERATORS_KEY))
    assert row is not None
    assert row.prefix == "an-op"


async def test_a_revoked_operators_key_stays_revoked(
    database: Database, authenticator: Authenticator
) -> None:
    await ensure_bootstrap_key(database, DIGESTER, OPERATORS_KEY)
    async with database.transaction() as session:
        row = await api_key.find_by_digest(session, DIGESTER.digest(OPERATORS_KEY))
        assert row is not None
        row.revoked_at = now()
    await ensure_bootstrap_key(database, DIGESTER, OPERATORS_KEY)
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(f"Bearer {OPERATORS_KEY}")


@pytest.mark.parametrize("key", ["", "a key with some spaces", "clé-" * 5, "a" * 257])
async def test_keys_that_could_not_be_used(database: Database, key: str) -> None:
    with pytest.raises(StartupError, match="bootstrap_key") as caught:
        await ensure_bootstrap_key(database, DIGESTER, key)
    assert key not in caught.value.message or not key


def test_keys_and_digests() -> None:
    key = generate_key()
    assert key.startswith("inf_")
    assert len(key) == 47
    assert DIGESTER.digest(key) != KeyDigester(b"t" * 32).digest(key)
    assert len(DIGESTER.digest(key)) == 64


def test_a_secret_is_made_once_by_many(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secret.key"
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(load_or_create_secret, [path] * 32))
    assert len(secrets) == 1
    assert len(secrets.pop()) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_secret_that_is_too_short(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    path.write_text("short\n")
    with pytest.raises(StartupError, match="too short"):
        load_or_create_secret(path)


def test_a_secret_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="Is a directory"):
        load_or_create_secret(tmp_path)


async def test_a_short_operators_key_works_and_is_warned_of(
    database: Database, authenticator: Authenticator, caplog: pytest.LogCaptureFixture
) -> None:
    await ensure_bootstrap_key(database, DIGESTER, "short")
    assert "guessed" in caplog.text
    assert "short" not in [record.getMessage() for record in caplog.records]
    assert await authenticator.authenticate("Bearer short")
