"""Priorities and deadlines, from headers and `service_tier` to the engine and back."""

import json
import time
from typing import Any

import pytest

from server.engine.protocol import Output, Priority

CHAT = "/v1/chat/completions"
NOTE = "/v1/clinical/medications"
BODY = {"model": "auto", "messages": [{"role": "user", "content": "Hello."}]}
PRIORITY = "X-Infirmary-Priority"
TIMEOUT = "X-Request-Timeout"


def asked(path: str) -> dict[str, Any]:
    return BODY if path == CHAT else {"text": "Metoprolol 25 mg."}


def error_of(answer: Any) -> dict[str, Any]:
    document = answer.json()
    return document.get("error", document)


@pytest.mark.parametrize(
    "tier, stream, header, served",
    [
        (None, False, None, (Priority.NORMAL, "default")),
        (None, True, None, (Priority.INTERACTIVE, "priority")),
        ("auto", False, None, (Priority.NORMAL, "default")),
        ("auto", True, None, (Priority.INTERACTIVE, "priority")),
        ("default", True, None, (Priority.NORMAL, "default")),
        ("flex", True, None, (Priority.BULK, "flex")),
        ("priority", False, None, (Priority.INTERACTIVE, "priority")),
        (None, True, "bulk", (Priority.BULK, "flex")),
        ("auto", False, "interactive", (Priority.INTERACTIVE, "priority")),
        ("flex", False, "bulk", (Priority.BULK, "flex")),
    ],
)
async def test_the_priority_of_a_chat(api, tier, stream, header, served):
    headers = {} if header is None else {PRIORITY: header}
    answer = await api.http.post(CHAT, json=BODY | {"service_tier": tier, "stream": stream}, headers=headers)
    assert answer.status_code == 200, answer.text
    [job] = api.engine.jobs
    assert job.tenant == "ward"
    first = answer.text.partition("\n\n")[0].removeprefix("data: ") if stream else answer.text
    assert (job.priority, json.loads(first)["service_tier"]) == served


@pytest.mark.parametrize("header, priority", [(None, Priority.NORMAL), ("interactive", Priority.INTERACTIVE)])
async def test_the_priority_of_a_note(api, header, priority):
    await api.http.post(NOTE, json=asked(NOTE), headers={} if header is None else {PRIORITY: header})
    [job] = api.engine.jobs
    assert (job.priority, job.tenant) == (priority, "ward")


async def test_a_tier_and_a_header_that_contradict_each_other(api):
    answer = await api.http.post(
        CHAT, json=BODY | {"service_tier": "flex"}, headers={PRIORITY: "interactive"}
    )
    assert answer.status_code == 400
    assert error_of(answer)["param"] == "service_tier"
    assert not api.engine.jobs


@pytest.mark.parametrize("path", [CHAT, NOTE])
@pytest.mark.parametrize(
    "name, value",
    [
        (PRIORITY, "urgent"),
        (PRIORITY, "INTERACTIVE"),
        (PRIORITY, ""),
        (TIMEOUT, "soon"),
        (TIMEOUT, "0"),
        (TIMEOUT, "-1"),
        (TIMEOUT, "nan"),
        (TIMEOUT, "inf"),
        (TIMEOUT, "600.5"),
        (TIMEOUT, "1e9"),
    ],
)
async def test_headers_that_cannot_be_are_refused_by_name(api, path, name, value):
    answer = await api.http.post(path, json=asked(path), headers={name: value})
    assert answer.status_code == 400, answer.text
    error = error_of(answer)
    assert error["param"] == name
    assert name in (error.get("message") or error["detail"])
    assert not api.engine.jobs


@pytest.mark.parametrize("path", [CHAT, NOTE])
@pytest.mark.parametrize("value, left_s", [(None, 600), ("2.5", 2.5), ("600", 600)])
async def test_the_deadline_counts_from_arrival(api, path, value, left_s):
    before = time.monotonic()
    await api.http.post(path, json=asked(path), headers={} if value is None else {TIMEOUT: value})
    [job] = api.engine.jobs
    assert before <= job.expires_s - left_s <= time.monotonic()


@pytest.mark.parametrize("path", [CHAT, NOTE])
async def test_an_answer_that_comes_too_late(api, path):
    api.engine.script = lambda job: [Output(1, [65]), Output(1, [], "expired")]
    answer = await api.http.post(path, json=asked(path))
    assert answer.status_code == 504
    assert error_of(answer)["code"] == "deadline_exceeded"
    [end] = api.audit.ends
    assert (end["outcome"], end["error_code"]) == ("failed", "deadline_exceeded")


async def test_a_stream_that_takes_too_long(api):
    api.engine.script = lambda job: [Output(1, [65]), Output(1, [], "expired")]
    answer = await api.http.post(CHAT, json=BODY | {"stream": True})
    *_, last = answer.text.strip().split("\n\n")
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "deadline_exceeded"


async def test_too_late_before_the_engine_is_asked(api):
    answer = await api.http.post(CHAT, json=BODY, headers={TIMEOUT: "0.000001"})
    assert answer.status_code == 504
    assert not api.engine.jobs


async def test_what_the_engine_gives_up_may_be_sent_again(api):
    api.engine.script = lambda job: [Output(1, [], "aborted")]
    answer = await api.http.post(CHAT, json=BODY)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
