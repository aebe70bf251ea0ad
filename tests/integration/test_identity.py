"""Who a patient is never reaches the engine, the log, the metrics or the database; the answer has it back."""

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
import pytest
import uvicorn

from server.app import create_app
from server.engine.client import EngineClient
from server.engine.protocol import Submit
from server.privacy.findings import Failure
from server.privacy.pool import Worker
from server.settings import Settings, load_settings
from server.state import Services, open_services

CHAT = "/v1/chat/completions"
NOTE = "/v1/clinical/medications"
NAME = "Carmen Delacroix"
DOCTOR = "Thaddeus Okonkwo"
PLANTED = {
    "name": NAME,
    "doctor": DOCTOR,
    "born": "03/14/1957",
    "seen": "November 2, 2026",
    "phone": "(617) 555-0182",
    "email": "carmen.delacroix@example.org",
    "mrn": "00482913",
    "ssn": "219-09-9998",
    "address": "48 Beacon Street",
    "url": "https://portal.example.org/patients/77120",
}
TEXT = """\
Patient: {name}
DOB: {born}
MRN: {mrn}
SSN: {ssn}
Address: {address}, Boston, MA 02108
Phone: {phone}
Email: {email}
Portal: {url}

Ms. Delacroix was seen by Dr. {doctor} on {seen}. Started metoprolol 25 mg PO BID.
Carmen denies aspirin. Call {phone} with results.
""".format_map(PLANTED)
PARTS = [
    "Carmen",
    "Delacroix",
    "DELACROIX",
    "Thaddeus",
    "Okonkwo",
    "Beacon",
    "555-0182",
    "portal.example",
    "77120",
]
IDENTIFIERS = [*PLANTED.values(), *PARTS]


def forced(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def saying(text: str) -> dict[str, Any]:
    """The response format of an answer that can only be this text."""
    schema = {"type": "object", "properties": {"patient": {"const": text}}, "required": ["patient"]}
    return forced(schema | {"additionalProperties": False})


def chat(**options: Any) -> dict[str, Any]:
    messages = [
        {"role": "system", "content": f"You help Dr. {DOCTOR}."},
        {"role": "user", "content": [{"type": "text", "text": TEXT}]},
    ]
    return {"model": "auto", "messages": messages, "max_tokens": 100, "temperature": 0} | options


@dataclass
class Tapped:
    """A server in this process, and all that its engine was asked."""

    url: str
    services: Services
    server: uvicorn.Server
    submits: list[Submit] = field(default_factory=list)

    @property
    def seen(self) -> str:
        """What the engine saw, as text."""
        vocabulary = self.services.inference.router.list()[0].vocabulary
        prompts = [
            b"".join(vocabulary.piece(token, special=True) for token in submit.tokens).decode()
            for submit in self.submits
        ]
        return "\n".join([*prompts, *(submit.grammar or "" for submit in self.submits)])

    @property
    def workers(self) -> list[int]:
        return self.services.inference.privacy._pool.pids


@pytest.fixture(scope="module")
def tapped_server(tmp_path_factory: pytest.TempPathFactory, key: str) -> Iterator[Tapped]:
    settings = load_settings(
        data_dir=tmp_path_factory.mktemp("tapped"),
        bootstrap_key=key,
        engine={"context_tokens": 3072, "sequences": 2},
        privacy={"timeout_s": 1},
    )
    started: Future[Tapped] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(serving(settings, started)))
    thread.start()
    tapped = started.result(60)
    yield tapped
    tapped.server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


async def serving(settings: Settings, started: Future[Tapped]) -> None:
    try:
        async with open_services(settings) as services:
            with socket.create_server(("127.0.0.1", 0)) as sock:
                config = uvicorn.Config(create_app(services), lifespan="off", log_config=None)
                server = uvicorn.Server(config)
                started.set_result(Tapped(f"http://127.0.0.1:{sock.getsockname()[1]}", services, server))
                await server.serve(sockets=[sock])
    except BaseException as error:
        if not started.done():
            started.set_exception(error)
        raise


@pytest.fixture
def tapped(tapped_server: Tapped, monkeypatch: pytest.MonkeyPatch) -> Tapped:
    """The server, with a tap between it and the engine."""
    tapped_server.submits.clear()
    send = EngineClient._send

    def recording(client: EngineClient, message: Any) -> None:
        if isinstance(message, Submit):
            tapped_server.submits.append(message)
        send(client, message)

    monkeypatch.setattr(EngineClient, "_send", recording)
    return tapped_server


@pytest.fixture
def tapped_http(tapped: Tapped, make_http) -> Iterator[httpx.Client]:
    with make_http(tapped) as client:
        yield client


def assert_anonymous(text: str) -> None:
    assert [each for each in IDENTIFIERS if each in text] == []


def text_of_stream(stream: str) -> str:
    events = [json.loads(line.removeprefix("data: ")) for line in stream.split("\n\n")[:-2]]
    return "".join(event["choices"][0]["delta"].get("content", "") for event in events)


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat(tapped: Tapped, tapped_http, stream: bool) -> None:
    body = chat(stream=stream, response_format=saying(NAME), stop=["Okonkwo"])
    answer = tapped_http.post(CHAT, json=body)
    content = text_of_stream(answer.text) if stream else answer.json()["choices"][0]["message"]["content"]
    assert json.loads(content) == {"patient": NAME}
    (submit,) = tapped.submits
    assert "[NAME_" in submit.grammar
    assert "metoprolol" in tapped.seen
    assert "[NAME_" in tapped.seen
    assert_anonymous(tapped.seen)


def calling(text: str, description: str = "") -> list[dict[str, Any]]:
    """A tool that can be called with this text only."""
    parameters = saying(text)["json_schema"]["schema"] | {"description": description}
    return [{"type": "function", "function": {"name": "look_up", "parameters": parameters}}]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("spelled", [NAME, "DELACROIX, CARMEN"])
def test_calls_of_tools(tapped: Tapped, tapped_http, stream: bool, spelled: str) -> None:
    """Definitions, earlier calls and their results are anonymous; the call that is made is not."""
    arguments = json.dumps({"patient": NAME, "phones": [PLANTED["phone"]], "mrn": int(PLANTED["mrn"])})
    call = {"id": NAME, "type": "function", "function": {"name": "look_up", "arguments": arguments}}
    messages = [
        {"role": "user", "content": TEXT},
        {"role": "assistant", "content": f"{DOCTOR} said:", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": NAME, "content": json.dumps(PLANTED)},
    ]
    tools = calling(spelled, TEXT)
    body = chat(messages=messages, tools=tools, tool_choice="required", parallel_tool_calls=False)
    answer = tapped_http.post(CHAT, json=body | {"stream": stream})
    assert answer.status_code == 200, answer.text
    if stream:
        events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n")[:-2]]
        deltas = [each for event in events for each in event["choices"][0]["delta"].get("tool_calls", ())]
        written = "".join(each["function"]["arguments"] for each in deltas)
        assert any(spelled in each["function"]["arguments"] for each in deltas)
    else:
        written = answer.json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(written) == {"patient": spelled}
    (submit,) = tapped.submits
    assert "[NAME_" in submit.grammar
    assert "look_up" in tapped.seen
    assert_anonymous(tapped.seen)


@pytest.mark.parametrize(
    "function",
    [
        {"name": "Carmen-Delacroix"},
        {"name": "ask_DrThaddeusOkonkwo_now"},
        {"name": "look_up", "parameters": {"type": "object", "properties": {NAME: {"type": "boolean"}}}},
        {"name": "look_up", "parameters": {"type": "object", "required": [NAME]}},
        {"name": "look_up", "description": TEXT, "parameters": {"type": "object", "default": {NAME: [TEXT]}}},
    ],
    ids=str,
)
def test_identifiers_all_over_a_tool(tapped: Tapped, tapped_http, function: dict[str, Any]) -> None:
    """What cannot be replaced is refused."""
    tools = [{"type": "function", "function": function}]
    answer = tapped_http.post(CHAT, json=chat(max_tokens=8, tools=tools, tool_choice="required"))
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 400:
        assert tapped.submits == []
        assert_anonymous(answer.text)
    assert_anonymous(tapped.seen)


@pytest.mark.parametrize("text", PLANTED.values(), ids=PLANTED)
def test_each_identifier_in_a_schema(tapped: Tapped, tapped_http, text: str) -> None:
    """Also where it stands alone, without the words that made it known in the text."""
    answer = tapped_http.post(CHAT, json=chat(response_format=saying(text)))
    assert json.loads(answer.json()["choices"][0]["message"]["content"]) == {"patient": text}
    assert_anonymous(tapped.seen)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {NAME: {"type": "boolean"}}},
        {"type": "object", "required": [NAME]},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": f"^{NAME}$"}}},
        {"type": "object", "patternProperties": {f"^{NAME}$": {"type": "boolean"}}},
        {"type": "object", "title": NAME, "description": TEXT, "default": {"a": NAME}, "examples": [TEXT]},
        {"type": "object", "$comment": NAME, "properties": {"a": {"enum": [NAME, f"Dr. {DOCTOR}"]}}},
        {"type": "object", "properties": {"a": {"const": {NAME: [NAME]}}}, "required": ["a"]},
        {
            "$defs": {NAME: {"type": "boolean"}},
            "type": "object",
            "properties": {"a": {"$ref": f"#/$defs/{NAME}"}},
        },
        {"type": "object", "$id": f"https://example.org/{NAME}"},
        {"type": "object", "x-patient": NAME},
    ],
    ids=lambda schema: str(schema)[:50],
)
def test_identifiers_all_over_a_schema(tapped: Tapped, tapped_http, schema: dict[str, Any]) -> None:
    """What cannot be replaced is refused."""
    named = {"name": "answer", "description": TEXT, "schema": schema}
    body = chat(max_tokens=8, response_format={"type": "json_schema", "json_schema": named})
    answer = tapped_http.post(CHAT, json=body)
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 400:
        assert tapped.submits == []
        assert_anonymous(answer.text)
    assert_anonymous(tapped.seen)


@pytest.mark.parametrize(
    "outputs",
    [
        {"choice": [NAME, "nobody", f"Dr. {DOCTOR} of {PLANTED['address']}"]},
        {"choice": list(PLANTED.values())},
        {"regex": f"{NAME}|nobody"},
        {"grammar": f'start: "{NAME}" | "nobody"'},
        {"grammar": f"// {NAME}\nstart: /a/"},
        {"json": {"type": "string", "x-quote-of": "text", "x-max-words": 12}},
        {"json": {"type": "string", "x-quote-of": NAME}},
        {"json": {"type": "array", "items": {"enum": [NAME, DOCTOR.upper()]}, "minItems": 1, "maxItems": 2}},
    ],
    ids=lambda outputs: str(outputs)[:40],
)
def test_identifiers_in_every_output_type(tapped: Tapped, tapped_http, outputs: dict[str, Any]) -> None:
    answer = tapped_http.post(CHAT, json=chat(structured_outputs=outputs))
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 400:
        assert tapped.submits == []
        assert_anonymous(answer.text)
    else:
        content = answer.json()["choices"][0]["message"]["content"]
        assert "[" not in content.lstrip("[")
        assert "choice" not in outputs or content in outputs["choice"]
    assert_anonymous(tapped.seen)


def test_a_note(tapped: Tapped, tapped_http) -> None:
    answer = tapped_http.post(NOTE, json={"text": TEXT})
    assert answer.status_code == 200, answer.text
    for medication in answer.json()["medications"]:
        evidence = medication["evidence"]
        assert TEXT[evidence["start"] : evidence["end"]] == evidence["quote"]
    assert "metoprolol" in tapped.seen
    assert "[NAME_" in tapped.seen
    assert_anonymous(tapped.seen)


def test_one_person_over_a_conversation(tapped: Tapped, tapped_http) -> None:
    messages = [
        {"role": "user", "content": TEXT},
        {"role": "assistant", "content": "Carmen is on metoprolol."},
        {"role": "user", "content": "Since when does Ms. Delacroix take it?"},
    ]
    answer = tapped_http.post(CHAT, json=chat(messages=messages, max_tokens=8))
    assert answer.status_code == 200
    assert tapped.seen.count("[NAME_1]") >= 4
    assert_anonymous(tapped.seen)


def assert_refused(answer: httpx.Response, tapped: Tapped) -> None:
    assert answer.status_code == 503, answer.text
    error = answer.json()
    assert error.get("error", error)["code"] == "deidentification_unavailable"
    assert int(answer.headers["retry-after"]) >= 1
    assert tapped.submits == []
    assert_anonymous(answer.text)


def assert_back(http: httpx.Client, tapped: Tapped, limit_s: float = 1) -> None:
    deadline = time.monotonic() + limit_s
    while (answer := http.post(CHAT, json=chat(max_tokens=2))).status_code == 503:
        assert time.monotonic() < deadline, "the privacy workers did not come back"
    assert answer.status_code == 200, answer.text
    assert tapped.submits
    assert_anonymous(tapped.seen)


@pytest.mark.parametrize(
    ("path", "body"), [(CHAT, chat()), (CHAT, chat(stream=True)), (NOTE, {"text": TEXT})]
)
def test_a_worker_that_hangs(tapped: Tapped, tapped_http, path: str, body: Any) -> None:
    (worker,) = tapped.workers
    os.kill(worker, signal.SIGSTOP)
    assert_refused(tapped_http.post(path, json=body), tapped)
    assert_back(tapped_http, tapped)
    assert not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE


def test_a_worker_that_is_killed_at_work(tapped: Tapped, tapped_http) -> None:
    (worker,) = tapped.workers
    os.kill(worker, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(tapped_http.post, CHAT, json=chat())
        time.sleep(0.5)
        os.kill(worker, signal.SIGKILL)
        assert_refused(asked.result(), tapped)
    assert_back(tapped_http, tapped)


def test_a_worker_that_is_killed_in_between(tapped: Tapped, tapped_http) -> None:
    (worker,) = tapped.workers
    os.kill(worker, signal.SIGKILL)
    assert_back(tapped_http, tapped)


def test_a_worker_that_raises(tapped: Tapped, tapped_http, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Worker, "analyze", lambda *_: Failure("ValueError"))
        assert_refused(tapped_http.post(CHAT, json=chat()), tapped)
        assert_refused(tapped_http.post(NOTE, json={"text": TEXT}), tapped)
    assert_back(tapped_http, tapped)


def test_workers_whose_parent_is_killed(tapped: Tapped, tapped_http) -> None:
    """The fork server takes the time of its imports to come back."""
    (worker,) = tapped.workers
    forkserver = psutil.Process(worker).parent()
    assert forkserver is not None
    assert "forkserver" in " ".join(forkserver.cmdline())
    forkserver.kill()
    os.kill(worker, signal.SIGKILL)
    assert_back(tapped_http, tapped, limit_s=15)


def test_nothing_is_left_behind(serve, make_http, tmp_path) -> None:
    """Whatever happens, at the chattiest log level."""
    server = serve(tmp_path, LOG_LEVEL="debug", PRIVACY__TIMEOUT_S="1")
    with make_http(server) as http:
        assert http.post(CHAT, json=chat(max_tokens=8)).status_code == 200
        assert http.post(CHAT, json=chat(max_tokens=8, stream=True)).status_code == 200
        assert http.post(NOTE, json={"text": TEXT}).status_code == 200
        provoke(http)
        (worker,) = server.processes("infirmary-privacy")
        worker.suspend()
        assert http.post(CHAT, json=chat()).status_code == 503
        metrics = http.get("/metrics").text
    assert server.stop() == 0
    assert_anonymous(metrics)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"infirmary.db", "stderr", "stdout"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        for identifier in IDENTIFIERS:
            assert identifier.encode() not in content, (path, identifier)


def provoke(http: httpx.Client) -> None:
    """Errors of every kind, with identifiers wherever a caller can put them."""
    assert http.post(CHAT, json=chat(user=NAME)).status_code == 400
    assert http.post(CHAT, json=chat(model=NAME)).status_code == 404
    assert http.post(CHAT, json=chat(temperature=NAME)).status_code == 400
    assert http.post(CHAT, json={TEXT: TEXT}).status_code == 400
    assert http.post(CHAT, json=chat(max_tokens=3000)).status_code == 400
    assert http.post(CHAT, json=chat(response_format=forced({"type": NAME}))).status_code == 400
    assert http.post(CHAT, json=chat(response_format=forced({"$ref": f"#/{NAME}"}))).status_code == 400
    assert http.post(CHAT, json=chat(tools=calling(NAME, TEXT), max_tokens=8)).status_code == 200
    assert http.post(CHAT, json=chat(tools=[{"type": NAME}])).status_code == 400
    assert http.post(CHAT, json=chat(tools=calling(NAME), tool_choice=NAME)).status_code == 400
    assert http.post(CHAT, json=chat(tool_choice={"type": NAME})).status_code == 400
    result = {"role": "tool", "content": TEXT, "tool_call_id": NAME}
    assert http.post(CHAT, json=chat(messages=[result])).status_code == 400
    assert http.post(CHAT, content=TEXT, headers={"Content-Type": "application/json"}).status_code == 400
    assert http.post(CHAT, content=TEXT, headers={"Authorization": f"Bearer {NAME}"}).status_code == 401
    assert http.get(f"/v1/models/{NAME}").status_code == 404
    assert http.get(f"/patients/{NAME}", params={"mrn": PLANTED["mrn"]}).status_code == 404
    assert http.get("/healthz", params={"name": NAME}, headers={"X-Patient": NAME}).status_code == 200
