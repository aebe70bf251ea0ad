"""`api_key`: who may call. The key itself is never stored, only its keyed digest."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, String, Text, Uuid, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from models.base import JSON_DOCUMENT, Base, UtcDateTime, now


class ApiKey(Base):
    """One key. It is revoked, never deleted: audit records point at it."""

    __tablename__ = "api_key"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(Text)
    tenant: Mapped[str] = mapped_column(Text, default="default")
    prefix: Mapped[str] = mapped_column(String(8))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSON_DOCUMENT)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


async def add(
    session: AsyncSession,
    *,
    name: str,
    prefix: str,
    digest: str,
    scopes: Sequence[str],
    tenant: str = "default",
    expires_at: datetime | None = None,
) -> ApiKey:
    """Insert a key. Raises IntegrityError when the digest is there already."""
    key = ApiKey(
        name=name, tenant=tenant, prefix=prefix, digest=digest, scopes=list(scopes), expires_at=expires_at
    )
    session.add(key)
    await session.flush()
    return key


async def find_by_digest(session: AsyncSession, digest: str) -> ApiKey | None:
    """The key with this digest, unless it is revoked or expired."""
    return await session.scalar(select(ApiKey).where(ApiKey.digest == digest, _active(now())))


async def is_known(session: AsyncSession, digest: str) -> bool:
    """Whether a key with this digest was ever added, revoked and expired ones included."""
    return bool(await session.scalar(select(exists().where(ApiKey.digest == digest))))


async def count(session: AsyncSession) -> int:
    """How many keys there are, revoked and expired ones included."""
    return await session.scalar(select(func.count()).select_from(ApiKey)) or 0


def _active(moment: datetime) -> ColumnElement[bool]:
    unexpired = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > moment)
    return and_(ApiKey.revoked_at.is_(None), unexpired)
