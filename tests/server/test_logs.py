import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from uuid import UUID

import pytest

from server.logs import JsonFormatter, configure

PHI = "Jane Doe"


class Log:
    """What was logged."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def read(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    root, access = logging.getLogger(), logging.getLogger("uvicorn.access")
    handlers, level = root.handlers[:], root.level
    configure("info")
    log = Log()
    root.handlers[0].setStream(log.stream)
    yield log
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    access.disabled = False


def test_allowed_fields_only(log: Log) -> None:
    extra = {
        "request_id": "req_1",
        "duration_s": 0.5,
        "prompt": PHI,
        "entities": {"PERSON": 2},
        "key_id": UUID(int=1),
    }
    logging.getLogger("server.app").info("request", extra=extra)
    [line] = log.read()
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "server.app",
        "event": "request",
        "request_id": "req_1",
        "duration_s": 0.5,
        "entities": {"PERSON": 2},
        "key_id": str(UUID(int=1)),
    }


def test_arguments_are_not_written(log: Log) -> None:
    logging.getLogger("server.app").info("read %s", PHI)
    assert [line["event"] for line in log.read()] == ["read %s"]


def test_values_that_are_no_plain_ones_are_their_type(log: Log) -> None:
    logging.getLogger("server").info("x", extra={"reason": ValueError(PHI), "entities": {"PERSON": PHI}})
    [line] = log.read()
    assert (line["reason"], line["entities"]) == ("ValueError", {})


def test_an_exception_is_its_type_and_place(log: Log) -> None:
    try:
        int(PHI)
    except ValueError:
        logging.getLogger("server.app").exception("failed")
    [line] = log.read()
    assert PHI not in json.dumps(line)
    assert line["error_type"] == "ValueError"
    assert line["error_at"][-1].endswith(":test_an_exception_is_its_type_and_place")


def test_messages_of_other_libraries_are_withheld(log: Log) -> None:
    logging.getLogger("presidio-analyzer").warning(f"no recognizer for {PHI}")
    [line] = log.read()
    assert line["event"].startswith("message withheld, from test_logs.py:")


def test_one_line_whatever_the_text(log: Log) -> None:
    logging.getLogger("server").info("a\nb", extra={"reason": "c\n\ud800"})
    assert len(log.read()) == 1


def test_uvicorn(log: Log) -> None:
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 1)
    logging.getLogger("uvicorn.access").info("GET %s", PHI)
    assert [line["event"] for line in log.read()] == ["Started server process [%d]"]


def test_level(log: Log) -> None:
    logging.getLogger("server").debug("x")
    assert log.read() == []


def test_asyncio_and_warnings_are_withheld_in_a_process() -> None:
    code = f"""
import asyncio, warnings
from server.logs import configure
configure("info")
warnings.warn("{PHI}")
async def main():
    async def fail(): raise ValueError("{PHI}")
    asyncio.create_task(fail())
    await asyncio.sleep(0)
asyncio.run(main())
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loggers = [json.loads(line)["logger"] for line in run.stderr.splitlines()]
    assert loggers == ["py.warnings", "asyncio"]
    assert PHI not in run.stderr


def test_a_record_that_cannot_be_written_is_not_shown(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JsonFormatter, "format", lambda *_: 1 / 0)
    logging.getLogger("server").info("read %s", PHI)
    [line] = log.read()
    assert (line["event"], PHI in str(line)) == ("log record lost", False)
