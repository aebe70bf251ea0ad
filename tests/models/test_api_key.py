from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from models import api_key
from models.base import now
from models.database import Database

KEY = {"name": "ehr", "prefix": "inf_abcd", "scopes": ["chat", "clinical"]}


async def test_a_key_is_found_by_its_digest(database: Database) -> None:
    async with database.transaction() as session:
        added = await api_key.add(session, digest="d", **KEY)
    async with database.transaction() as session:
        found = await api_key.find_by_digest(session, "d")
        assert await api_key.find_by_digest(session, "e") is None
    assert found is not None
    assert (found.id, found.tenant, found.scopes) == (added.id, "default", ["chat", "clinical"])


@pytest.mark.parametrize(("minutes", "active"), [(1, True), (-1, False)])
async def test_expiry(database: Database, minutes: int, active: bool) -> None:
    async with database.transaction() as session:
        await api_key.add(session, digest="d", expires_at=now() + timedelta(minutes=minutes), **KEY)
        assert (await api_key.find_by_digest(session, "d") is not None) is active
        assert await api_key.is_known(session, "d")


async def test_a_revoked_key_is_known_and_not_found(database: Database) -> None:
    async with database.transaction() as session:
        key = await api_key.add(session, digest="d", **KEY)
        key.revoked_at = now()
    async with database.transaction() as session:
        assert await api_key.find_by_digest(session, "d") is None
        assert await api_key.is_known(session, "d")
        assert not await api_key.is_known(session, "e")
        assert await api_key.count(session) == 1


async def test_a_digest_is_unique(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.transaction() as session:
            await api_key.add(session, digest="d", **KEY)
            await api_key.add(session, digest="d", **KEY)
