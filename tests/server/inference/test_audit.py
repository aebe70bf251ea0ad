import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from models import api_key, audit_record
from models.audit_record import AuditRecord, Outcome
from models.database import Database
from server.errors import AuditUnavailable
from server.inference.audit import Auditor, AuditSubject, AuditTrail


@pytest.fixture
async def subject(database: Database) -> AuditSubject:
    async with database.transaction() as session:
        key = await api_key.add(session, name="ehr", prefix="inf_abcd", digest="d", scopes=["chat"])
    return AuditSubject(key.id, "default", "/v1/chat/completions", "smollm2@1", "sha256:00", task="extract")


async def rows(database: Database, trail: AuditTrail) -> Sequence[AuditRecord]:
    async with database.transaction(read_only=True) as session:
        return await audit_record.of_request(session, trail.request_id)


class SlowDatabase:
    """Commits only once it is let."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.gate = asyncio.Event()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        async with self.database.transaction() as session:
            yield session
            await self.gate.wait()


class HungDatabase:
    """Answers nothing, its own cancellation included."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        while not self.gate.is_set():
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                continue
        raise OSError
        yield


async def test_both_rows(database: Database, subject: AuditSubject) -> None:
    auditor = Auditor(database)
    trail = await auditor.begin(subject)
    assert [row.kind for row in await rows(database, trail)] == ["begin"]
    await auditor.end(
        trail,
        Outcome.COMPLETED,
        finish_reason="stop",
        prompt_tokens=9,
        completion_tokens=3,
        entities={"PERSON": 1},
    )
    begin, end = await rows(database, trail)
    assert (begin.task, begin.duration_s, begin.outcome) == ("extract", None, None)
    assert (end.task, end.outcome, end.entities) == ("extract", "completed", {"PERSON": 1})
    assert end.duration_s is not None
    assert end.duration_s >= 0


async def test_the_caller_may_bring_the_id(database: Database, subject: AuditSubject) -> None:
    assert (await Auditor(database).begin(subject, request_id="req_1")).request_id == "req_1"


async def test_an_end_outlives_its_cancelled_caller(database: Database, subject: AuditSubject) -> None:
    trail = await Auditor(database).begin(subject)
    slow = SlowDatabase(database)
    auditor = Auditor(slow)

    async def request() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await auditor.end(trail, Outcome.ABORTED)

    task = asyncio.create_task(request())
    for _ in range(3):
        await asyncio.sleep(0.02)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    slow.gate.set()
    await auditor.drain()
    assert [row.outcome for row in await rows(database, trail)] == [None, "aborted"]


async def test_an_end_that_fails_after_its_caller_left_is_logged(
    database: Database, subject: AuditSubject, caplog: pytest.LogCaptureFixture
) -> None:
    auditor = Auditor(database)
    trail = await auditor.begin(subject)
    await auditor.end(trail, Outcome.ABORTED)
    task = asyncio.create_task(auditor.end(trail, Outcome.ABORTED))
    await asyncio.sleep(0)
    task.cancel()
    await auditor.drain()
    del task
    gc.collect()
    assert [(record.name, record.msg) for record in caplog.records] == [
        ("server.inference.audit", "audit record lost")
    ]


async def test_a_second_end_is_refused(database: Database, subject: AuditSubject) -> None:
    auditor = Auditor(database)
    trail = await auditor.begin(subject)
    await auditor.end(trail, Outcome.COMPLETED)
    with pytest.raises(AuditUnavailable):
        await auditor.end(trail, Outcome.FAILED)
    assert [row.outcome for row in await rows(database, trail)] == [None, "completed"]


async def test_no_tables_no_audit(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(database_url)
    with caplog.at_level(logging.ERROR), pytest.raises(AuditUnavailable) as caught:
        await Auditor(database).begin(AuditSubject(uuid4(), "jane-doe", "/", "w", "d"), request_id="req_1")
    assert "jane" not in caught.value.message
    assert "jane-doe" not in caplog.text
    assert caplog.records[0].request_id == "req_1"
    await database.dispose()


async def test_a_slow_database(database: Database, subject: AuditSubject) -> None:
    auditor = Auditor(SlowDatabase(database), limit_s=0.1)
    with pytest.raises(AuditUnavailable):
        await auditor.begin(subject)
    await auditor.drain()
    async with database.transaction() as session:
        assert await api_key.count(session) == 1


async def test_a_database_that_hangs_in_its_cancellation_too() -> None:
    database = HungDatabase()
    auditor = Auditor(database, limit_s=0.1)
    async with asyncio.timeout(1):
        with pytest.raises(AuditUnavailable, match="in time"):
            await auditor.begin(AuditSubject(uuid4(), "default", "/", "w", "d"))
        await auditor.drain()
    database.gate.set()
    await auditor.drain()
