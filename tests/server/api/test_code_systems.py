"""Code systems over HTTP: what is listed, and what the engine is asked."""

from server.engine.protocol import Output

CHAT = "/v1/chat/completions"
DIGEST = "c" * 64


def body(system: str) -> dict[str, object]:
    schema = {
        "type": "object",
        "properties": {"code": {"type": "string", "x-code-in": system}},
        "required": ["code"],
        "additionalProperties": False,
    }
    return {
        "model": "auto",
        "messages": [{"role": "user", "content": "Which code?"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
    }


async def test_what_is_loaded_is_listed(api):
    answer = await api.http.get("/v1/code-systems")
    assert answer.json() == {
        "code_systems": [{"name": "local", "version": "2026", "members": 2, "digest": DIGEST}]
    }


async def test_the_engine_is_told_what_each_placeholder_stands_for(api):
    api.engine.script = lambda job: [Output(1, list(b'{"code":"A1"}'), "stop")]
    answer = await api.http.post(CHAT, json=body("local"))
    assert answer.json()["choices"][0]["message"]["content"] == '{"code":"A1"}'
    (job,) = api.engine.jobs
    assert job.code_sets == {7: "local"}
    assert "<[7]>" in job.grammar


async def test_an_unknown_system_is_refused_by_path(api):
    answer = await api.http.post(CHAT, json=body("icd-10-cm"))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("invalid_grammar", "response_format")
    assert "$.properties.code: 'x-code-in' names no loaded code system: \"icd-10-cm\"" in error["message"]
    assert api.engine.jobs == []


async def test_a_set_that_is_not_ready_is_retryable(api):
    api.engine.script = lambda job: [Output(1, [], "unready", "the code set local is still being compiled")]
    answer = await api.http.post(CHAT, json=body("local"))
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "engine_unavailable"
    assert int(answer.headers["retry-after"]) >= 1
