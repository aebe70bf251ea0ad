"""API keys: how they are made, digested and recognised, and what their scopes allow."""

import hashlib
import hmac
import logging
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from models import api_key
from models.api_key import ApiKey
from models.database import DATABASE_ERRORS, AlreadyThere, Database
from server.errors import Forbidden, StartupError, Unauthenticated, Unavailable

_KEY = re.compile(r"[\x21-\x7e]{1,256}")
_SECRET_BYTES = 32
_GUESSABLE_LENGTH = 16

_logger = logging.getLogger(__name__)


class Scope(StrEnum):
    """What a key may do."""

    CHAT = "chat"
    CLINICAL = "clinical"
    ADMIN = "admin"


@dataclass(frozen=True)
class Principal:
    """Who asks. `tenant` keeps the callers of one server apart."""

    key_id: UUID
    name: str
    tenant: str
    scopes: frozenset[Scope]


class KeyDigester:
    """HMAC-SHA256 of a key, in hex.

    A fast hash is right here: the keys we make hold 256 bits of randomness, so a slow one would buy nothing
    and let wrong keys burn CPU. The secret lies outside the database, so that a stolen database cannot be
    used to test guesses, which matters for the bootstrap keys that operators choose.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def digest(self, key: str) -> str:
        """64 hexadecimal digits; `key` is ASCII."""
        return hmac.new(self._secret, key.encode("ascii"), hashlib.sha256).hexdigest()


class Authenticator:
    """Recognises callers. Every request looks its key up, so a revocation holds at once."""

    def __init__(self, database: Database, digester: KeyDigester) -> None:
        self._database = database
        self._digester = digester

    async def authenticate(self, authorization_header: str | None) -> Principal:
        """The caller behind an `Authorization` header.

        Raises Unauthenticated when it holds no good key and Unavailable when the database does not answer.
        """
        digest = self._digester.digest(_bearer_key(authorization_header))
        try:
            async with self._database.transaction(read_only=True) as session:
                key = await api_key.find_by_digest(session, digest)
        except DATABASE_ERRORS as error:
            raise Unavailable("API keys cannot be checked: the database does not answer") from error
        if key is None:
            raise Unauthenticated("the API key is unknown, expired or revoked")
        return _principal(key)


def require(principal: Principal, *scopes: Scope) -> None:
    """Raises Forbidden, naming the scopes, unless the caller has one of them."""
    if principal.scopes.isdisjoint(scopes):
        wanted = "' or '".join(scopes)
        raise Forbidden(f"the API key lacks the scope '{wanted}'")


def generate_key() -> str:
    """A new key of 256 random bits: `inf_` and 43 URL-safe characters."""
    return "inf_" + secrets.token_urlsafe(32)


def load_or_create_secret(path: Path) -> bytes:
    """The secret in the file, which is made with 256 random bits and mode 0600 when it is not there.

    Raises StartupError when the file cannot be read or made, or holds fewer than 32 bytes.
    """
    try:
        if not path.exists():
            _create_secret(path)
        secret = path.read_bytes().strip()
    except OSError as error:
        raise StartupError(f"the secret key {path} cannot be read: {error.strerror}") from error
    if len(secret) < _SECRET_BYTES:
        raise StartupError(f"the secret key {path} is too short: it needs {_SECRET_BYTES} bytes")
    return secret


async def ensure_bootstrap_key(database: Database, digester: KeyDigester, key: str | None) -> str | None:
    """Add the operator's key unless it was ever added; without one, make the first key of an empty table.

    Returns the key only when it was made here, to be shown once. Raises StartupError for a key that no caller
    could send; warns of one that is short enough to be guessed.
    """
    if key is not None and not _KEY.fullmatch(key):
        raise StartupError("bootstrap_key must be 1 to 256 printable ASCII characters without spaces")
    if key is not None and len(key) < _GUESSABLE_LENGTH:
        _logger.warning("the bootstrap key is short enough to be guessed: use 16 characters or more")
    new = key or generate_key()
    digest = digester.digest(new)
    with suppress(AlreadyThere):  # another replica added it in the meantime
        async with database.transaction() as session:
            there = await api_key.is_known(session, digest) if key else await api_key.count(session) > 0
            if there:
                return None
            await api_key.add(
                session,
                name="bootstrap",
                prefix=new[: min(8, len(new) // 4)],  # never much of a short key that an operator chose
                digest=digest,
                scopes=list(Scope),
            )
    return None if key else new


def _bearer_key(header: str | None) -> str:
    if not header:
        raise Unauthenticated("an API key is needed: send the header 'Authorization: Bearer <key>'")
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("the Authorization header must be 'Bearer <key>'")
    if not _KEY.fullmatch(key.strip(" ")):
        raise Unauthenticated("the API key is malformed")
    return key.strip(" ")


def _principal(key: ApiKey) -> Principal:
    known = frozenset(scope for scope in Scope if scope in key.scopes)
    return Principal(key_id=key.id, name=key.name, tenant=key.tenant, scopes=known)


def _create_secret(path: Path) -> None:
    """Written aside and linked into place, so that a process starting at once never reads half a secret."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(_SECRET_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
