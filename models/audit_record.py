"""`audit_record`: two rows a request, never updated, with nothing in them of what was asked or answered.

A "begin" is committed before the engine is asked and an "end" before the answer closes. A begin without an
end says that the process died, the database was lost, or the caller left before the engine was asked.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Double, ForeignKey, Integer, Text, UniqueConstraint, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from models.base import JSON_DOCUMENT, Base, UtcDateTime, now, text_enum


class AuditKind(StrEnum):
    """Which of the two rows of a request."""

    BEGIN = "begin"
    END = "end"


class Outcome(StrEnum):
    """How a request ended: answered, left by its caller, broken by us, or turned away."""

    COMPLETED = "completed"
    ABORTED = "aborted"
    FAILED = "failed"
    REFUSED = "refused"


class AuditRecord(Base):
    """One row. A trigger of migration 0001 refuses every UPDATE.

    The id is an ascending integer, not a UUID: rows append at one edge of the index and are read back as they
    were written, and no id is given twice (AUTOINCREMENT on SQLite), so a removed row leaves a gap.
    """

    __tablename__ = "audit_record"
    __table_args__ = (UniqueConstraint("request_id", "kind"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    request_id: Mapped[str] = mapped_column(Text)
    kind: Mapped[AuditKind] = mapped_column(text_enum(AuditKind, "kind"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
    key_id: Mapped[UUID] = mapped_column(ForeignKey("api_key.id"))
    tenant: Mapped[str] = mapped_column(Text)
    route: Mapped[str] = mapped_column(Text)
    task: Mapped[str | None] = mapped_column(Text)
    weights_version: Mapped[str] = mapped_column(Text)
    weights_digest: Mapped[str] = mapped_column(Text)
    prompt_hash: Mapped[str | None] = mapped_column(Text)
    schema_version: Mapped[str | None] = mapped_column(Text)
    outcome: Mapped[Outcome | None] = mapped_column(text_enum(Outcome, "outcome"))
    error_code: Mapped[str | None] = mapped_column(Text)
    finish_reason: Mapped[str | None] = mapped_column(Text)
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    entities: Mapped[dict[str, int] | None] = mapped_column(JSON_DOCUMENT)
    duration_s: Mapped[float | None] = mapped_column(Double)


async def append(session: AsyncSession, records: Sequence[AuditRecord]) -> None:
    """Insert rows, in this order. Raises IntegrityError when a request already has a row of this kind."""
    session.add_all(records)
    await session.flush()


async def of_request(session: AsyncSession, request_id: str) -> Sequence[AuditRecord]:
    """The rows of one request, begin first; empty when there is no such request."""
    rows = await session.scalars(
        select(AuditRecord).where(AuditRecord.request_id == request_id).order_by(AuditRecord.id)
    )
    return rows.all()
