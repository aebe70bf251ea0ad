"""What an admin looks at: health, metrics, the reference, the audit."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.inference.weights import weights_file

CHAT = "/v1/chat/completions"
NOTE = "/v1/clinical/medications"
MESSAGES = [{"role": "user", "content": "Name a vital sign."}]
BODY = {"model": "auto", "messages": MESSAGES, "max_tokens": 8, "temperature": 0}
LONG_TEXT = {
    "type": "object",
    "properties": {"text": {"type": "string", "pattern": "^.{20000,}$"}},
    "required": ["text"],
    "additionalProperties": False,
}
NEVER_DONE = BODY | {
    "max_tokens": 2900,
    "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": LONG_TEXT}},
}
HISTOGRAMS = ["infirmary_queue_wait_seconds", "infirmary_time_to_first_token_seconds"]


@pytest.fixture
def anonymous(http):
    """A client without a key."""
    del http.headers["authorization"]
    return http


def test_health(anonymous) -> None:
    assert anonymous.get("/healthz").json() == {"status": "ok"}
    assert anonymous.get("/readyz").json() == {"status": "ready"}


def test_the_reference(anonymous) -> None:
    paths = anonymous.get("/openapi.json").json()["paths"]
    assert {CHAT, NOTE, "/v1/models", "/v1/clinical/tasks", "/healthz"} <= paths.keys()
    for path in (CHAT, NOTE):
        assert paths[path]["post"]["security"]
    assert anonymous.get("/docs").status_code == 404  # its page would load scripts from a public network


def test_metrics_are_prometheus_text(anonymous) -> None:
    answer = anonymous.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert len(families) > 10
    for name, family in families.items():
        assert name.startswith("infirmary_")
        assert family.documentation


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_request_counts(server, http, stream: bool) -> None:
    def counted() -> dict[str, float]:
        by_kind = {
            kind: server.metric("infirmary_tokens_total", kind=kind) for kind in ("prompt", "completion")
        }
        route = {"route": CHAT}
        return (
            by_kind
            | {name: server.metric(f"{name}_count") for name in HISTOGRAMS}
            | {"duration": server.metric("infirmary_request_duration_seconds_count", **route)}
            | {"answers": server.metric("infirmary_requests_total", status="200", method="POST", **route)}
            | {"audit": server.metric("infirmary_audit_write_seconds_count")}
            | {"deidentification": server.metric("infirmary_deidentification_seconds_count")}
        )

    before = counted()
    if stream:
        answer = http.post(CHAT, json=BODY | {"stream": True, "stream_options": {"include_usage": True}})
        assert '"usage":' in answer.text
        used = None
    else:
        used = http.post(CHAT, json=BODY).json()["usage"]
    added = {name: value - before[name] for name, value in counted().items()}
    if used:
        assert added["prompt"] == used["prompt_tokens"]
        assert added["completion"] == used["completion_tokens"]
    assert 0 < added["completion"] <= 8
    assert {
        name: added[name] for name in [*HISTOGRAMS, "duration", "answers", "deidentification"]
    } == dict.fromkeys([*HISTOGRAMS, "duration", "answers", "deidentification"], 1)
    assert added["audit"] >= 1
    assert server.metric("infirmary_engine_step_seconds_count") > 0
    assert server.metric("infirmary_engine_up") == 1


def test_the_memory_of_the_engine(server) -> None:
    sizes = {
        kind: server.metric("infirmary_engine_memory_bytes", kind=kind)
        for kind in ("weights", "kv", "buffers")
    }
    assert sizes["weights"] == weights_file(None).stat().st_size
    assert sizes["kv"] == 8 * 3072 * 30 * 384 * 2
    assert 1e6 < sizes["buffers"] < 1e8


def test_labels_are_bounded(server, http) -> None:
    http.get("/nothing/of/the/kind")
    http.request("BREW", "/healthz")
    text = http.get("/metrics").text
    assert "of/the/kind" not in text
    assert "BREW" not in text
    assert server.metric("infirmary_requests_total", route="unmatched", status="404") >= 1


def test_every_answer_has_an_id(server, http) -> None:
    answers = [
        http.get("/healthz"),
        http.get("/nothing"),
        http.post(CHAT, json={}),
        http.post(CHAT, json=BODY),
    ]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert ids[-1] == answers[-1].headers["x-audit-id"]
    assert len(set(ids)) == 4
    for each in ids:
        assert each in server.log


async def test_the_audit_of_a_chat(server, http, audit_rows) -> None:
    answer = await asyncio.to_thread(http.post, CHAT, json=BODY)
    rows = await audit_rows(server)
    begin, end = (row for row in rows if row.request_id == answer.headers["x-audit-id"])
    assert (begin.kind, end.kind, end.outcome, end.error_code) == ("begin", "end", "completed", None)
    assert begin.route == end.route == CHAT
    assert begin.weights_digest == answer.headers["x-weights-digest"]
    assert begin.tenant == "default"
    usage = answer.json()["usage"]
    assert (end.prompt_tokens, end.completion_tokens) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert end.finish_reason == answer.json()["choices"][0]["finish_reason"]
    assert 0 < end.duration_s < 60
    assert begin.at <= end.at


async def test_the_audit_of_a_note(server, http, audit_rows) -> None:
    note = {"text": "Patient: Maria Alvarez. Started metoprolol 25 mg PO BID."}
    answer = await asyncio.to_thread(http.post, NOTE, json=note)
    assert answer.status_code == 200, answer.text
    provenance = answer.json()["provenance"]
    begin, end = (row for row in await audit_rows(server) if row.request_id == provenance["audit_id"])
    for row in (begin, end):
        assert (row.task, row.schema_version) == ("medications", provenance["schema_version"])
        assert row.prompt_hash == provenance["prompt_hash"]
    assert end.outcome == "completed"
    assert end.entities == {"NAME": 1}


async def test_more_than_it_can_hold(serve, make_async_http, audit_rows, eventually, tmp_path) -> None:
    """One runs, one waits, the others are told when to come again; whoever leaves makes room."""
    settings = {"ENGINE__SEQUENCES": "1", "ENGINE__QUEUE_REQUESTS": "1"}
    server = await asyncio.to_thread(serve, tmp_path, **settings)
    async with make_async_http(server) as client:
        body = BODY | {"max_tokens": 60}
        answers = await asyncio.gather(*(client.post(CHAT, json=body) for _ in range(6)))
        answered = [answer for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert (len(answered), len(refused)) == (2, 4)
        for answer in refused:
            assert answer.json()["error"]["code"] == "overloaded"
            assert int(answer.headers["retry-after"]) >= 1
        first, second = (asyncio.create_task(client.post(CHAT, json=NEVER_DONE)) for _ in range(2))
        await asyncio.to_thread(eventually, lambda: server.metric("infirmary_requests_waiting") == 1, 5)
        for leaving in (second, first):
            leaving.cancel()
            await asyncio.wait({leaving})
        answer = await client.post(CHAT, json=body)
        while answer.status_code == 429:  # their records are still being closed
            await asyncio.sleep(int(answer.headers["retry-after"]))
            answer = await client.post(CHAT, json=body)
        assert answer.status_code == 200
    ends = [row.outcome for row in await audit_rows(server) if row.kind == "end"]
    assert sorted(ends) == ["aborted", "aborted", "completed", "completed", "completed"]


async def test_each_database(serve, make_http, audit_rows, database_url: str, tmp_path) -> None:
    """The same on SQLite and on PostgreSQL."""
    server = await asyncio.to_thread(serve, tmp_path, DATABASE_URL=database_url)
    with make_http(server) as http:
        assert (await asyncio.to_thread(http.post, CHAT, json=BODY)).status_code == 200
        stream = await asyncio.to_thread(http.post, CHAT, json=BODY | {"stream": True})
        assert stream.text.endswith("data: [DONE]\n\n")
    rows = await audit_rows(server)
    assert [(row.kind, row.outcome) for row in rows] == [("begin", None), ("end", "completed")] * 2
    assert not (tmp_path / "data" / "infirmary.db").exists()
