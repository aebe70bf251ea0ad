"""`structured_outputs` and `response_format`: what reaches the engine, and what comes back."""

import json
from typing import Any

import pytest

from server.engine.job import Job
from server.engine.protocol import Output

CHAT = "/v1/chat/completions"
PATIENT = "Zebulon Quackenbush"
BODY = {"model": "auto", "messages": [{"role": "user", "content": f"{PATIENT}: how is he?"}]}
TREE = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 10}}, "required": ["a"]}


def saying(text: str):
    def script(job: Job) -> list[Output | Exception]:
        return [Output(1, list(text.encode())), Output(1, [], "stop")]

    return script


def json_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


async def ask(api, outputs: Any, **more: Any):
    return await api.http.post(CHAT, json=BODY | {"structured_outputs": outputs} | more)


@pytest.mark.parametrize(
    "outputs, written, content",
    [
        ({"choice": [PATIENT, "nobody"]}, "[NAME_1]", PATIENT),
        ({"regex": r"[\[\]A-Za-z_0-9 ]+"}, "[NAME_1]", PATIENT),
        ({"grammar": "start: /[\\[\\]A-Za-z_0-9 ]+/"}, "[NAME_1]", PATIENT),
        ({"json": TREE}, '{"a":"b"}', '{"a":"b"}'),
        ({"json": json.dumps(TREE)}, '{"a":"b"}', '{"a":"b"}'),
        ({"json_object": True}, '{"a":"[NAME_1]"}', f'{{"a":"{PATIENT}"}}'),
        ({"regex": "a", "choice": None, "json": None}, "a", "a"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_each_output_type(api, outputs, written, content):
    api.engine.script = saying(written)
    answer = await ask(api, outputs)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == content
    [job] = api.engine.jobs
    assert job.grammar
    assert PATIENT not in job.grammar


async def test_a_response_format_of_text_may_stand_beside(api):
    api.engine.script = saying("a")
    answer = await ask(api, {"regex": "a"}, response_format={"type": "text"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "outputs",
    [
        {},
        {"regex": None},
        {"regex": "a", "choice": ["a"]},
        {"json": TREE, "json_object": True},
        {"json_object": False},
        {"json_object": 1},
        {"json": "{"},
        {"json": "[]"},
        {"json": '{"a": NaN}'},
        {"json": '{"const": "\\ud800"}'},
        {"json": '{"items":' * 5000 + "{}" + "}" * 5000},
        {"json": True},
        {"json": {"not": {}}},
        {"json": {"type": "string", "x-quote-of": "note"}},
        {"regex": ""},
        {"regex": 3},
        {"regex": r"\ba"},
        {"regex": PATIENT},
        {"regex": "("},
        {"choice": []},
        {"choice": "a"},
        {"choice": [1]},
        {"choice": ["a"] * 10_001},
        {"grammar": ""},
        {"grammar": "start: <|im_end|>"},
        {"grammar": f'start: "{PATIENT}"'},
        {"structural_tag": "{}"},
        {"structural_tag": None},
        {"whitespace_pattern": " *", "json": TREE},
        {"disable_any_whitespace": True, "json": TREE},
        {"disable_additional_properties": True, "json": TREE},
        {"disable_fallback": True, "json": TREE},
        "json",
        [],
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_cannot_be_honoured_is_refused_by_name(api, outputs):
    answer = await ask(api, outputs)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"].startswith("structured_outputs")
    named = [name for name in outputs if outputs[name] is not None] if isinstance(outputs, dict) else []
    if len(named) == 1 and named[0].startswith(("structural", "whitespace", "disable")):
        assert named[0] in error["message"]
    assert PATIENT not in answer.text
    assert len(error["message"]) < 500
    assert not api.engine.jobs


@pytest.mark.parametrize("response_format", [{"type": "json_object"}, json_format(TREE)])
async def test_two_output_types_exclude_each_other(api, response_format):
    answer = await ask(api, {"regex": "a"}, response_format=response_format)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "structured_outputs"
    assert "response_format" in answer.json()["error"]["message"]


@pytest.mark.parametrize("name", ["guided_json", "guided_regex", "guided_choice", "guided_grammar"])
async def test_older_names_are_refused_by_name(api, name):
    answer = await api.http.post(CHAT, json=BODY | {name: "a"})
    assert answer.json()["error"]["param"] == name


async def test_log_probabilities_of_forced_text_are_refused(api):
    answer = await ask(api, {"regex": "a"}, logprobs=True)
    assert answer.status_code == 400
    assert "structured_outputs" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "asked", [{"response_format": json_format(TREE)}, {"structured_outputs": {"json": TREE}}]
)
async def test_an_answer_that_a_name_has_spoilt_is_never_given_as_good(api, asked):
    api.engine.script = saying('{"a":"[NAME_1]"}')
    answer = await api.http.post(CHAT, json=BODY | asked)
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "invalid_output"
    assert PATIENT not in answer.text

    stream = await api.http.post(CHAT, json=BODY | asked | {"stream": True})
    *_, last = stream.text.strip().split("\n\n")
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "invalid_output"
    assert "[DONE]" not in stream.text
    assert [end["error_code"] for end in api.audit.ends] == ["invalid_output", "invalid_output"]


async def test_quotes_are_of_the_last_message_of_the_user(api):
    schema = {"type": "string", "x-quote-of": "text"}
    messages = [
        {"role": "user", "content": "first"},
        {"role": "user", "content": f"fever of {PATIENT}"},
        {"role": "assistant", "content": "answer"},
        {"role": "system", "content": "instruction"},
    ]
    api.engine.script = saying('"fever of [NAME_1]"')
    answer = await ask(api, {"json": schema}, messages=messages)
    assert json.loads(answer.json()["choices"][0]["message"]["content"]) == f"fever of {PATIENT}"
    [job] = api.engine.jobs
    assert "fever" in job.grammar
    assert not any(word in job.grammar for word in ("first", "answer", "instruction", PATIENT))
