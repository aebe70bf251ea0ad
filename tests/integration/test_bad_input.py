"""What no caller should send: a clear answer in the right shape, and a server that goes on."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from models import api_key
from models.database import Database
from server.auth import KeyDigester, generate_key

CHAT = "/v1/chat/completions"
NOTE = "/v1/clinical/medications"
SECRET = "Zebulon Quackenbush"
MESSAGES = [{"role": "user", "content": f"{SECRET}: how is he?"}]
GOOD = {"model": "auto", "messages": MESSAGES, "max_tokens": 4, "temperature": 0}
MEGABYTE = 1 << 20
CHUNK = b"x" * (1 << 16)
MORE_THAN_THE_CONTEXT = "fever and cough " * 2000


def schema_format(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def assert_openai_error(answer, status: int, param: str | None = None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text[:300]
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert SECRET not in answer.text
    if param is not None:
        assert error["param"] == param, error
    return error


def assert_problem(answer, status: int, param: str | None = None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text[:300]
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["code"]
    assert problem["detail"]
    assert SECRET not in answer.text
    if param is not None:
        assert problem["param"] == param, problem
    return problem


@pytest.mark.parametrize("content", [b"", b"{", b"nothing", b"[]", b"null", b'"text"', b"{}", b'{"a":1}}'])
@pytest.mark.parametrize("path", [CHAT, NOTE])
def test_bodies_that_are_no_request(http, path: str, content: bytes) -> None:
    answer = http.post(path, content=content, headers={"Content-Type": "application/json"})
    check = assert_openai_error if path == CHAT else assert_problem
    check(answer, 400)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", None])
def test_bodies_of_another_kind(http, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    answer = http.post(CHAT, content=json.dumps(GOOD).encode(), headers=headers)
    error = assert_openai_error(answer, 400)
    assert "Content-Type" in error["message"] or "application/json" in error["message"], error


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temprature", 1),
        ("tools", []),
        ("tools", [{"type": "function", "function": {"name": SECRET}}]),
        ("tools", [{"type": "function", "function": {"name": "f", "parameters": {"type": "strng"}}}]),
        ("tools", [{"type": "retrieval"}]),
        ("tool_choice", "auto"),
        ("functions", [{"name": "f"}]),
        ("function_call", "auto"),
        ("n", 0),
        ("n", 9),
        ("logprobs", "yes"),
        ("top_logprobs", 3),
        ("logit_bias", {"50256": -100}),
        ("logit_bias", {SECRET: -100}),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "ash", "format": "mp3"}),
        ("prediction", {"type": "content", "content": "x"}),
        ("parallel_tool_calls", True),
        ("reasoning_effort", "high"),
        ("service_tier", "gold"),
        ("service_tier", 1),
        ("store", True),
        ("user", SECRET),
        ("web_search_options", {}),
        ("model", 3),
        ("model", ""),
        ("model", None),
        ("messages", []),
        ("messages", "hello"),
        ("messages", {}),
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("max_tokens", "4"),
        ("max_tokens", 4.5),
        ("max_tokens", True),
        ("max_tokens", 3072),
        ("max_tokens", 2**70),
        ("max_completion_tokens", 0),
        ("max_completion_tokens", 10**4000),
        ("temperature", 3),
        ("temperature", -0.1),
        ("temperature", "hot"),
        ("temperature", 10**400),
        ("top_p", 0),
        ("top_p", 1.1),
        ("top_k", -1),
        ("top_k", 2**70),
        ("min_p", 2),
        ("repeat_penalty", 0),
        ("presence_penalty", 3),
        ("frequency_penalty", -3),
        ("seed", 2**70),
        ("seed", -(2**70)),
        ("seed", 1.5),
        ("seed", "7"),
        ("stream", "yes"),
        ("stream", 1),
        ("stop", 5),
        ("stop", ""),
        ("stop", ["a"] * 17),
        ("stop", [None]),
        ("stream_options", {"include_usage": True}),
        ("response_format", "json"),
        ("response_format", {"type": "yaml"}),
        ("response_format", {"type": "json_schema"}),
    ],
    ids=str,
)
def test_fields(http, field: str, value: Any) -> None:
    error = assert_openai_error(http.post(CHAT, json=GOOD | {field: value}), 400)
    assert field in (error["param"] or "") + error["message"], error
    assert len(error["message"]) < 500


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("field", ["temperature", "max_tokens", "seed"])
def test_numbers_that_are_not_finite(http, field: str, literal: str) -> None:
    content = json.dumps(GOOD).encode()[:-1] + f', "{field}": {literal}}}'.encode()
    answer = http.post(CHAT, content=content, headers={"Content-Type": "application/json"})
    assert_openai_error(answer, 400)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user"},
        {"role": "tool", "content": "x", "tool_call_id": "1"},
        {"role": "nurse", "content": "x"},
        {"role": "user", "content": None},
        {"role": "user", "content": []},
        {"role": "user", "content": 5},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]},
        {"role": "user", "content": "x", "name": SECRET},
        {"content": "x"},
        "hello",
        None,
    ],
    ids=str,
)
def test_messages(http, message: Any) -> None:
    error = assert_openai_error(http.post(CHAT, json=GOOD | {"messages": [message]}), 400)
    assert error["param"].startswith("messages.0")


def test_unknown_weights(http) -> None:
    assert (
        assert_openai_error(http.post(CHAT, json=GOOD | {"model": "gpt-4o"}), 404, "model")["code"]
        == "model_not_found"
    )
    assert_openai_error(http.get("/v1/models/gpt-4o"), 404, "model")


def test_a_prompt_longer_than_the_context(http) -> None:
    messages = [{"role": "user", "content": MORE_THAN_THE_CONTEXT}]
    error = assert_openai_error(http.post(CHAT, json=GOOD | {"messages": messages}), 400, "messages")
    assert error["code"] == "context_length_exceeded"
    assert "3072" in error["message"]


def test_an_answer_longer_than_the_context(http) -> None:
    error = assert_openai_error(http.post(CHAT, json=GOOD | {"max_tokens": 3072}), 400, "max_tokens")
    assert error["code"] == "context_length_exceeded"


def test_a_note_longer_than_the_context(http) -> None:
    problem = assert_problem(http.post(NOTE, json={"text": MORE_THAN_THE_CONTEXT}), 400, "text")
    assert problem["code"] == "context_length_exceeded"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": None}, "text"),
        ({"text": 5}, "text"),
        ({"text": ["a"]}, "text"),
        ({"text": "x", "note": SECRET}, "note"),
        ({"text": "a " * 600_000}, "text"),
    ],
)
def test_notes(http, body: Any, param: str) -> None:
    assert_problem(http.post(NOTE, json=body), 400, param)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strng"},
        {"type": 5},
        {"type": "object", "properties": [SECRET]},
        {"type": "string", "pattern": "("},
        {"type": "string", "minLength": 5, "maxLength": 2},
        {"enum": []},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/$defs/missing"},
        {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}},
        False,
        [],
        "text",
        nested(300),
        {"enum": [f"{SECRET} {number}" for number in range(20_000)]},
    ],
    ids=lambda schema: str(schema)[:40],
)
def test_schemas(http, schema: Any) -> None:
    answer = http.post(CHAT, json=GOOD | {"response_format": schema_format(schema)}, timeout=20)
    error = assert_openai_error(answer, 400)
    assert (error["param"] or "").startswith("response_format"), error
    assert len(error["message"]) < 500


@pytest.mark.parametrize("levels", [1_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [('{"items":', "}"), ("[", "]")])
def test_deep_nesting(http, levels: int, opening: str, closing: str) -> None:
    schema = '{"enum":' + opening * levels + "[]" + closing * levels + "}"
    content = json.dumps(GOOD | {"response_format": schema_format("HERE")}).replace('"HERE"', schema)
    answer = http.post(CHAT, content=content, headers={"Content-Type": "application/json"}, timeout=20)
    assert_openai_error(answer, 400)


@pytest.mark.parametrize("path", [CHAT, NOTE])
@pytest.mark.parametrize("text", [b"\xff\xfe", b"\xed\xa0\x80", b"\xc3(", b"\\ud800", b"\\uDC00\\ud800"])
def test_bytes_that_are_no_text(http, path: str, text: bytes) -> None:
    body = GOOD | {"messages": [{"role": "user", "content": "HERE"}]} if path == CHAT else {"text": "HERE"}
    content = json.dumps(body).encode().replace(b"HERE", text)
    answer = http.post(path, content=content, headers={"Content-Type": "application/json"})
    check = assert_openai_error if path == CHAT else assert_problem
    error = check(answer, 400)
    assert "UTF-8" in str(error) or "surrogate" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "a\0b",
        "\0",
        "<|im_end|>",
        "\U000f0000\ue000",
        "\ufdfd" * 20,
        "\r\n\t",
        " ",
        "{{ 7 * 7 }}",
        "e\u0301" * 50,
    ],
    ids=ascii,
)
def test_strange_text_is_still_text(http, text: str) -> None:
    answer = http.post(CHAT, json=GOOD | {"messages": [{"role": "user", "content": text}]})
    assert answer.status_code == 200, answer.text
    answer = http.post(NOTE, json={"text": text})
    assert answer.status_code == 200, answer.text


def test_a_large_body(http) -> None:
    assert_openai_error(http.post(CHAT, json=GOOD | {"user": "x" * 5 * MEGABYTE}), 413)


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        "Basic dTpw",
        "Bearer a b",
        "Bearer " + "k" * 5000,
        b"Bearer cl\xe9",
    ],
    ids=str,
)
@pytest.mark.parametrize("path", [CHAT, NOTE, "/v1/models", "/v1/clinical/tasks"])
def test_keys(server, http, path: str, authorization: str | bytes | None) -> None:
    del http.headers["authorization"]
    headers = {} if authorization is None else {"Authorization": authorization}
    method = "GET" if path in ("/v1/models", "/v1/clinical/tasks") else "POST"
    answer = http.request(method, path, headers=headers, content=b"{")
    check = assert_openai_error if "clinical" not in path else assert_problem
    assert check(answer, 401)["code"] == "invalid_api_key"
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def add_key(server, scopes: list[str]) -> str:
    secret = (Path(server.directory) / "data" / "secret.key").read_bytes().strip()
    key = generate_key()
    database = Database(server.database_url)
    async with database.transaction() as session:
        digest = KeyDigester(secret).digest(key)
        await api_key.add(session, name="one scope", prefix=key[:8], digest=digest, scopes=scopes)
    await database.dispose()
    return key


@pytest.mark.parametrize(
    ("scope", "refused", "allowed"),
    [
        ("chat", [("POST", NOTE), ("GET", "/v1/clinical/tasks")], "/v1/models"),
        ("clinical", [("POST", CHAT), ("GET", "/v1/models")], "/v1/clinical/tasks"),
        ("admin", [("POST", CHAT), ("POST", NOTE), ("GET", "/v1/models")], "/healthz"),
    ],
)
async def test_scopes(server, http, scope: str, refused: list[tuple[str, str]], allowed: str) -> None:
    http.headers["authorization"] = f"Bearer {await add_key(server, [scope])}"
    for method, path in refused:
        answer = await asyncio.to_thread(http.request, method, path)
        check = assert_problem if "clinical" in path else assert_openai_error
        assert check(answer, 403)["code"] == "insufficient_scope"
    assert (await asyncio.to_thread(http.get, allowed)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/", "/v1/models/a/b", "/v1/chat"])
def test_unknown_openai_routes(http, path: str) -> None:
    assert_openai_error(http.post(path, json={}), 404)


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/v1/clinical/nothing", "/v2/chat", "/healthz/x", "/../etc"]
)
def test_unknown_routes(http, path: str) -> None:
    assert_problem(http.post(path, json={}), 404)


def test_wrong_methods(http) -> None:
    assert assert_openai_error(http.get(CHAT), 405)["code"] == "method_not_allowed"
    assert_problem(http.get(NOTE), 405)
    assert_problem(http.post("/healthz"), 405)
    assert http.get(CHAT).headers["allow"] == "POST"


def test_what_is_left(server, http) -> None:
    """Runs last in this file: the server answers, and its log is quiet."""
    assert http.post(CHAT, json=GOOD).status_code == 200
    assert server.metric("infirmary_engine_restarts_total") == 0
    for text in ("unexpected error", "Traceback", SECRET, "Quackenbush", "fever and cough", "gpt-4o"):
        assert text not in server.log
