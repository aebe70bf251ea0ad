"""JSON logs on stderr, one object a line, that no text of a prompt, a note or an answer can reach.

Only fields of an allow-list are written. A message is its constant template, without its arguments, and only
when it is ours or uvicorn's: other libraries build messages out of what they were handed. An exception is its
type and where it was raised, never its message.
"""

import json
import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from traceback import walk_tb
from types import TracebackType
from typing import Any, TextIO
from uuid import UUID

ALLOWED_FIELDS = frozenset(
    [
        "code",
        "code_system",
        "completion_tokens",
        "context_tokens",
        "device",
        "digest",
        "duration_s",
        "engine",
        "entities",
        "error_code",
        "error_type",
        "finish_reason",
        "host",
        "key_id",
        "key_prefix",
        "kind",
        "method",
        "outcome",
        "pid",
        "port",
        "prompt_tokens",
        "queue",
        "reason",
        "request_id",
        "requests",
        "restarts",
        "route",
        "sequences",
        "signal",
        "status",
        "task",
        "tenant",
        "version",
        "weights",
    ]
)

_TRUSTED_LOGGERS = ("server", "models", "infirmary", "uvicorn")
_FRAMES = 5


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "logger", "event", ...}`; time in UTC, ISO 8601."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the record holds."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _event(record),
        }
        entry |= {name: _plain(value) for name, value in vars(record).items() if name in ALLOWED_FIELDS}
        if record.exc_info and record.exc_info[0]:
            entry["error_type"] = record.exc_info[0].__name__
            entry["error_at"] = _locations(record.exc_info[2])
        return json.dumps(entry)


def configure(level: str) -> None:
    """Send every log of the process through the formatter; `level` is "debug", "info", "warning" or "error".

    uvicorn must be run with `log_config=None`; its access log is off because requests are logged by route.
    """
    handler = _Handler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("alembic").setLevel(logging.WARNING)  # says what it plans, on every new database


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging names it
        """Say that a record was lost; the standard handler would print it, arguments included."""
        with suppress(OSError, ValueError):
            self.stream.write(f'{{"level": "error", "event": "log record lost", "line": {record.lineno}}}\n')


def _event(record: logging.LogRecord) -> str:
    if record.name.partition(".")[0] in _TRUSTED_LOGGERS and isinstance(record.msg, str):
        return record.msg.strip()
    return f"message withheld, from {record.filename}:{record.lineno}"


def _plain(value: object) -> object:
    """Numbers, texts and counts as they are; of anything else only the type, since a repr can quote input."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): count for name, count in value.items() if isinstance(count, int)}
    return type(value).__name__


def _locations(traceback: TracebackType | None) -> list[str]:
    """The innermost frames, outermost of them first, as file:line:function."""
    frames = [(frame.f_code, line) for frame, line in walk_tb(traceback)]
    return [f"{code.co_filename}:{line}:{code.co_name}" for code, line in frames[-_FRAMES:]]
