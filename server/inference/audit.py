"""The record of every request: a begin before the engine is asked and an end before the answer closes.

No audit, no answer: whatever goes wrong with the database becomes AuditUnavailable. No text of a prompt, a
note or an answer comes here.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from models import audit_record
from models.audit_record import AuditKind, AuditRecord, Outcome
from models.database import Database
from server.errors import AuditUnavailable
from server.inference.group_commit import GroupCommit

_LIMIT_S = 10.0
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AuditSubject:
    """What both rows of a request say: who asked, which route and task, of which weights."""

    key_id: UUID
    tenant: str
    route: str
    weights_version: str
    weights_digest: str
    task: str | None = None
    prompt_hash: str | None = None
    schema_version: str | None = None


@dataclass(frozen=True)
class AuditTrail:
    """A request whose begin is committed. `request_id` is the audit id shown to the caller."""

    request_id: str
    subject: AuditSubject
    started_s: float
    """When it began, on the monotonic clock."""


class Auditor:
    """Writes the two rows, with those of other requests that come at the same time.

    A caller that is cancelled while it waits (its client left) stops waiting and the row is written all the
    same, so `await auditor.end(...)` is safe in a `finally`. Await `drain` before disposing of the database.
    """

    def __init__(self, database: Database, *, limit_s: float = _LIMIT_S) -> None:
        self._database = database
        self._limit_s = limit_s
        self._commits = GroupCommit(self._append, limit_s=limit_s)

    async def begin(self, subject: AuditSubject, *, request_id: str | None = None) -> AuditTrail:
        """Commit the begin of a request; without a `request_id` one is made.

        Raises AuditUnavailable when it is not committed within the limit: the engine must not be asked.
        """
        trail = AuditTrail(request_id or new_request_id(), subject, time.monotonic())
        await self._write(_record(trail, AuditKind.BEGIN))
        return trail

    async def end(
        self,
        trail: AuditTrail,
        outcome: Outcome,
        *,
        error_code: str | None = None,
        finish_reason: str | None = None,
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
        entities: Mapping[str, int] | None = None,
    ) -> None:
        """Commit the end of a request; `entities` counts identifiers by type.

        Raises AuditUnavailable when it is not committed within the limit: the answer must not be closed as
        good. So does a second end of one trail, which is a programming error that the table refuses.
        """
        record = _record(
            trail,
            AuditKind.END,
            outcome=outcome,
            error_code=error_code,
            finish_reason=finish_reason,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            entities=None if entities is None else dict(entities),
            duration_s=time.monotonic() - trail.started_s,
        )
        await self._write(record)

    async def drain(self) -> None:
        """Wait, no longer than the limit, for rows whose callers have gone."""
        await self._commits.drain()

    async def _write(self, record: AuditRecord) -> None:
        """Wait for the row. `asyncio.wait` leaves it to be written when its own caller is cancelled."""
        committed = self._commits.submit(record)
        committed.add_done_callback(partial(_report, record))
        done, _ = await asyncio.wait({committed}, timeout=self._limit_s)
        if not done:
            committed.cancel()
            _logger.error("audit record not committed in time", extra=_names(record))
            raise AuditUnavailable("the request cannot be recorded: the database does not answer in time")
        if committed.exception():
            raise AuditUnavailable("the request cannot be recorded") from committed.exception()

    async def _append(self, records: Sequence[AuditRecord]) -> None:
        async with self._database.transaction() as session:
            await audit_record.append(session, records)


def new_request_id() -> str:
    """An audit id: `req_` and 32 hexadecimal digits."""
    return f"req_{uuid4().hex}"


def _record(trail: AuditTrail, kind: AuditKind, **ending: Any) -> AuditRecord:
    return AuditRecord(request_id=trail.request_id, kind=kind, **vars(trail.subject), **ending)


def _report(record: AuditRecord, committed: asyncio.Future[None]) -> None:
    if not committed.cancelled() and (error := committed.exception()):
        _logger.error("audit record lost", extra=_names(record), exc_info=error)


def _names(record: AuditRecord) -> dict[str, str]:
    return {"request_id": record.request_id, "kind": record.kind}
