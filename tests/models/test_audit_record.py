from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from models import api_key, audit_record
from models.audit_record import AuditKind, AuditRecord, Outcome
from models.database import Database


@pytest.fixture
async def key_id(database: Database) -> UUID:
    async with database.transaction() as session:
        key = await api_key.add(session, name="ehr", prefix="inf_abcd", digest="d", scopes=["chat"])
    return key.id


def record(key_id: UUID, kind: AuditKind, **fields: object) -> AuditRecord:
    return AuditRecord(
        request_id="r1",
        kind=kind,
        key_id=key_id,
        tenant="default",
        route="/v1/chat/completions",
        weights_version="smollm2@1",
        weights_digest="sha256:00",
        **fields,
    )


async def append(database: Database, *records: AuditRecord) -> None:
    async with database.transaction() as session:
        for each in records:
            await audit_record.append(session, [each])


async def test_the_rows_of_a_request(database: Database, key_id: UUID) -> None:
    counts = {"PERSON": 2, "DATE": 1}
    await append(database, record(key_id, AuditKind.BEGIN))
    await append(
        database,
        record(key_id, AuditKind.END, outcome=Outcome.COMPLETED, entities=counts, duration_s=0.25),
    )
    async with database.transaction(read_only=True) as session:
        begin, end = await audit_record.of_request(session, "r1")
        assert await audit_record.of_request(session, "r2") == []
    assert (begin.kind, begin.outcome, begin.entities) == (AuditKind.BEGIN, None, None)
    assert (end.kind, end.outcome, end.entities, end.duration_s) == ("end", "completed", counts, 0.25)
    assert begin.at <= end.at


async def test_a_second_row_of_a_kind_is_refused(database: Database, key_id: UUID) -> None:
    with pytest.raises(IntegrityError):
        await append(database, record(key_id, AuditKind.BEGIN), record(key_id, AuditKind.BEGIN))


async def test_a_key_that_is_not_there_is_refused(database: Database) -> None:
    with pytest.raises(IntegrityError):
        await append(database, record(uuid4(), AuditKind.BEGIN))


async def test_a_key_with_records_stays(database: Database, key_id: UUID) -> None:
    await append(database, record(key_id, AuditKind.BEGIN))
    with pytest.raises(IntegrityError):
        async with database.transaction() as session:
            await session.execute(text("DELETE FROM api_key"))


async def test_rows_are_never_updated(database: Database, key_id: UUID) -> None:
    await append(database, record(key_id, AuditKind.BEGIN))
    with pytest.raises(IntegrityError, match="append-only"):
        async with database.transaction() as session:
            await session.execute(text("UPDATE audit_record SET tenant = 'other'"))


@pytest.mark.parametrize("column", ["kind", "outcome"])
async def test_the_database_knows_the_values(database: Database, key_id: UUID, column: str) -> None:
    statement = text(
        "INSERT INTO audit_record"
        " (request_id, kind, at, key_id, tenant, route, weights_version, weights_digest, outcome)"
        " SELECT 'r', :kind, created_at, id, '', '', '', '', :outcome FROM api_key"
    )
    values = {"kind": "end", "outcome": "failed"} | {column: "other"}
    with pytest.raises(IntegrityError, match=f"ck_audit_record_{column}"):
        async with database.transaction() as session:
            await session.execute(statement, values)
