"""Tools in OpenAI's shapes: definitions, choices, calls in whole answers and in streams, earlier turns."""

import json
from typing import Any

import pytest

from server.engine.job import Job
from server.engine.protocol import Output

CHAT = "/v1/chat/completions"
PATIENT = "Zebulon Quackenbush"
MESSAGES = [{"role": "user", "content": f"{PATIENT}: how is he?"}]
PARAMETERS = {
    "type": "object",
    "properties": {"who": {"type": "string"}},
    "required": ["who"],
    "additionalProperties": False,
}
FIND = {
    "type": "function",
    "function": {"name": "find", "description": f"As {PATIENT}", "parameters": PARAMETERS},
}
STOP = {"type": "function", "function": {"name": "stop", "strict": True}}
BODY = {"model": "auto", "messages": MESSAGES, "tools": [FIND, STOP]}
CALL = '<tool_call>{"name":"find","arguments":{"who":"[NAME_1]"}}</tool_call>'
END = '<tool_call>{"name":"stop","arguments":{}}</tool_call>'


def saying(*texts: str, finish: str = "stop"):
    """An engine that writes the texts, a sign at a time."""

    def script(job: Job) -> list[Output | Exception]:
        return [*(Output(1, [byte]) for byte in "".join(texts).encode()), Output(1, [], finish)]

    return script


def chunks_of(answer: Any) -> list[dict[str, Any]]:
    *events, done = answer.text.strip().split("\n\n")
    assert done == "data: [DONE]"
    return [json.loads(event.removeprefix("data: "))["choices"][0] for event in events]


async def test_calls_in_a_whole_answer(api):
    api.engine.script = saying(f"I ask for [NAME_1].\n{CALL}\n{END}")
    [choice] = (await api.http.post(CHAT, json=BODY)).json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert message["content"] == f"I ask for {PATIENT}."
    first, second = message["tool_calls"]
    assert (first["type"], first["function"]["name"]) == ("function", "find")
    assert json.loads(first["function"]["arguments"]) == {"who": PATIENT}
    assert second["function"] == {"name": "stop", "arguments": "{}"}
    assert first["id"].startswith("call_")
    assert first["id"] != second["id"]
    [end] = api.audit.ends
    assert (end["outcome"], end["finish_reason"]) == ("completed", "tool_calls")


async def test_an_answer_of_calls_alone_has_no_content(api):
    api.engine.script = saying(CALL)
    [choice] = (await api.http.post(CHAT, json=BODY | {"tool_choice": "required"})).json()["choices"]
    assert choice["message"]["content"] is None
    assert len(choice["message"]["tool_calls"]) == 1


async def test_an_answer_without_calls_is_like_any_other(api):
    api.engine.script = saying("No [NAME_1]. <tool_cal")
    [choice] = (await api.http.post(CHAT, json=BODY)).json()["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"] == {
        "role": "assistant",
        "content": f"No {PATIENT}. <tool_cal",
        "refusal": None,
    }


async def test_calls_in_a_stream(api):
    api.engine.script = saying(f"Yes.\n{CALL}\n{END}")
    chunks = chunks_of(await api.http.post(CHAT, json=BODY | {"stream": True}))
    assert chunks[0]["delta"] == {"role": "assistant", "content": None}
    assert "".join(chunk["delta"].get("content") or "" for chunk in chunks) == "Yes."
    deltas = [call for chunk in chunks for call in chunk["delta"].get("tool_calls", ())]
    begun = [delta for delta in deltas if "id" in delta]
    assert [delta["index"] for delta in begun] == [0, 1]
    for delta, name in zip(begun, ["find", "stop"], strict=True):
        assert set(delta) == {"index", "id", "type", "function"}
        assert delta["type"] == "function"
        assert delta["function"] == {"name": name, "arguments": ""}
    parts = [delta for delta in deltas if "id" not in delta]
    assert all(
        set(part) == {"index", "function"} and set(part["function"]) == {"arguments"} for part in parts
    )
    first, second = (
        "".join(part["function"]["arguments"] for part in parts if part["index"] == index) for index in (0, 1)
    )
    assert (json.loads(first), second) == ({"who": PATIENT}, "{}")
    assert any(PATIENT in part["function"]["arguments"] for part in parts)
    assert len(parts) > 5
    assert [chunk["finish_reason"] for chunk in chunks if chunk["finish_reason"]] == ["tool_calls"]


async def test_several_answers_each_with_calls(api):
    api.engine.script = saying(CALL)
    body = BODY | {"n": 2, "stream": True}
    chunks = chunks_of(await api.http.post(CHAT, json=body))
    for index in (0, 1):
        own = [chunk for chunk in chunks if chunk["index"] == index]
        calls = [call for chunk in own for call in chunk["delta"].get("tool_calls", ())]
        assert "".join(call["function"]["arguments"] for call in calls) == f'{{"who":"{PATIENT}"}}'
        assert own[-1]["finish_reason"] == "tool_calls"
    choices = (await api.http.post(CHAT, json=BODY | {"n": 2})).json()["choices"]
    assert [len(choice["message"]["tool_calls"]) for choice in choices] == [1, 1]


@pytest.mark.parametrize(
    "written",
    [f"{CALL}\n{CALL[:-25]}", f"{CALL}\n{END[:-25]}", f'{CALL}\n<tool_call>{{"name":"st', f"{CALL}\n<tool"],
)
async def test_a_call_that_the_limit_cuts_off_is_left_out(api, written):
    api.engine.script = saying(written, finish="length")
    [choice] = (await api.http.post(CHAT, json=BODY)).json()["choices"]
    assert choice["finish_reason"] == "length"
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == ["find"]
    assert choice["message"]["content"] is None

    chunks = chunks_of(await api.http.post(CHAT, json=BODY | {"stream": True}))
    assert [chunk["finish_reason"] for chunk in chunks if chunk["finish_reason"]] == ["length"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("written", [CALL[:-1], "<tool_call>", CALL + "x"])
async def test_an_answer_that_is_no_call_after_all_fails(api, written, stream):
    api.engine.script = saying("Yes.", written)
    answer = await api.http.post(CHAT, json=BODY | {"stream": stream})
    assert answer.status_code == (200 if stream else 500)
    assert "generation_failed" in answer.text
    assert "[DONE]" not in answer.text
    assert [end["outcome"] for end in api.audit.ends] == ["failed"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("finish", ["stop", "length"])
async def test_arguments_that_fit_no_more_with_identities_restored_fail(api, stream, finish):
    short = {"type": "object", "properties": {"who": {"type": "string", "maxLength": 9}}}
    api.engine.script = saying(CALL, finish=finish)
    answer = await api.http.post(CHAT, json=BODY | {"tools": [tool(parameters=short)], "stream": stream})
    assert answer.status_code == (200 if stream else 500)
    assert "invalid_output" in answer.text
    assert "[DONE]" not in answer.text


async def test_the_engines_fault_ends_the_request(api):
    api.engine.script = saying(CALL[:40], finish="grammar_error")
    answer = await api.http.post(CHAT, json=BODY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "generation_failed")


async def test_stop_strings_are_looked_for_in_the_content_alone(api):
    api.engine.script = saying(f"Yes. {CALL}")
    [choice] = (await api.http.post(CHAT, json=BODY | {"stop": ["who", "\n"]})).json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"who": PATIENT}
    [choice] = (await api.http.post(CHAT, json=BODY | {"stop": "s."})).json()["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"] == {"role": "assistant", "content": "Ye", "refusal": None}


async def test_what_the_engine_is_asked(api):
    api.engine.script = saying(CALL)
    for more in ({}, {"tool_choice": "required"}, {"parallel_tool_calls": False}):
        await api.http.post(CHAT, json=BODY | more)
    named = {"type": "function", "function": {"name": "stop"}}
    api.engine.script = saying(END)
    await api.http.post(CHAT, json=BODY | {"tool_choice": named})
    auto, required, single, only = api.engine.jobs
    assert PATIENT not in auto.grammar
    assert "announced" in auto.grammar
    assert "announced" not in required.grammar
    assert "{0,15}" in auto.grammar
    assert "{0,15}" in required.grammar
    assert "{0,15}" not in single.grammar
    assert "find" not in only.grammar
    assert "{0,15}" not in only.grammar
    prompt = bytes(auto.tokens).decode()
    assert PATIENT not in prompt
    assert '"description": "As [NAME_1]"' in prompt


async def test_the_choice_of_none_lets_nothing_be_called(api):
    api.engine.script = saying(CALL)
    body = BODY | {"tool_choice": "none", "logprobs": False}
    [choice] = (await api.http.post(CHAT, json=body)).json()["choices"]
    assert api.engine.jobs[0].grammar is None
    assert "find" not in bytes(api.engine.jobs[0].tokens).decode()
    assert choice["finish_reason"] == "stop"
    assert "tool_calls" not in choice["message"]


def called(*ids: str, arguments: str = "{}", **more: Any) -> dict[str, Any]:
    calls = [
        {"id": each, "type": "function", "function": {"name": "find", "arguments": arguments}} for each in ids
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls} | more


def result(call_id: str, content: Any = "found") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


async def test_earlier_calls_and_results_are_shown_without_identities(api):
    arguments = json.dumps({"who": PATIENT})
    turns = [called("a", "b", arguments=arguments), result("b", f"{PATIENT} is well"), result("a")]
    answer = await api.http.post(CHAT, json=BODY | {"messages": [*MESSAGES, *turns]})
    assert answer.status_code == 200, answer.text
    prompt = bytes(api.engine.jobs[0].tokens).decode()
    assert PATIENT not in prompt
    assert "find([NAME_1])" in prompt.replace('{"who":"', "(").replace('"}', ")")
    assert "[NAME_1] is well" in prompt
    assert prompt.count("call_1") == prompt.count("call_2") == 2


@pytest.mark.parametrize(
    ("turns", "param"),
    [
        ([result("a")], "messages.1.tool_call_id"),
        ([called("a"), result("b")], "messages.2.tool_call_id"),
        ([called("a"), result("a"), result("a")], "messages.3.tool_call_id"),
        ([called("a")], "messages.1.tool_calls"),
        ([called("a", "b"), result("a")], "messages.1.tool_calls"),
        ([called("a"), {"role": "user", "content": "Well?"}, result("a")], "messages.1.tool_calls"),
        ([called("a", "a"), result("a")], "messages.1.tool_calls.1.id"),
        ([called("a", arguments="{"), result("a")], "messages.1.tool_calls.0.function.arguments"),
        ([called("a", arguments="[]"), result("a")], "messages.1.tool_calls.0.function.arguments"),
        ([called("a", arguments='{"a":NaN}'), result("a")], "messages.1.tool_calls.0.function.arguments"),
        (
            [called("a", arguments='{"a":' + "[" * 40 + "]" * 40 + "}"), result("a")],
            "messages.1.tool_calls.0.function.arguments",
        ),
        (
            [called("a", arguments='{"a":' + "[" * 9000 + "]" * 9000 + "}"), result("a")],
            "messages.1.tool_calls.0.function.arguments",
        ),
        ([called("a", role="user", content="x"), result("a")], "messages.1.tool_calls"),
        ([called()], "messages.1.tool_calls"),
        ([{"role": "tool", "content": "x"}], "messages.1.tool_call_id"),
        ([{"role": "user", "content": "x", "tool_call_id": "a"}], "messages.1.tool_call_id"),
        ([{"role": "assistant", "content": None}], "messages.1.content"),
        ([{"role": "assistant"}], "messages.1.content"),
        ([called("a"), {"role": "tool", "tool_call_id": "a"}], "messages.2.content"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_turns_that_do_not_belong_together_are_refused_by_place(api, turns, param):
    answer = await api.http.post(CHAT, json=BODY | {"messages": [*MESSAGES, *turns]})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert PATIENT not in answer.text
    assert not api.engine.jobs


async def test_calls_sent_back_by_a_client_that_gathered_a_stream(api):
    turn = called("a")
    turn |= {"parsed": None, "annotations": None, "refusal": None, "audio": None, "function_call": None}
    turn["tool_calls"][0]["index"] = 0
    turn["tool_calls"][0]["function"]["parsed_arguments"] = {}
    turn.pop("content")
    answer = await api.http.post(CHAT, json=BODY | {"messages": [*MESSAGES, turn, result("a")]})
    assert answer.status_code == 200, answer.text


def tool(name: str = "find", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name} | more}


NAMED = {"type": "function", "function": {"name": "find"}}
STRINGS = {"type": "object", "properties": {"a": {"enum": ["x" * 1000 + str(each) for each in range(140)]}}}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": []}, "tools"),
        ({"tools": [tool(), tool()]}, "tools"),
        ({"tools": [tool(f"t{number}") for number in range(129)]}, "tools"),
        ({"tools": [tool("a b")]}, "tools.0.function.name"),
        ({"tools": [tool("")]}, "tools.0.function.name"),
        ({"tools": [tool(PATIENT)]}, "tools.0.function.name"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools.0.type"),
        ({"tools": [tool(parameters={"type": "string"})]}, "tools"),
        ({"tools": [tool(parameters={"type": "object", "properties": {"a": {"type": "strng"}}})]}, "tools"),
        ({"tools": [tool(parameters={"type": "object", "required": ["a"], "not": {}})]}, "tools"),
        ({"tools": [tool(parameters=STRINGS)]}, "tools"),
        ({"tools": [tool(parameters={"properties": {PATIENT: {"type": "string"}}})]}, "tools"),
        ({"tools": None, "tool_choice": "auto"}, "tool_choice"),
        ({"tools": None, "tool_choice": "none"}, "tool_choice"),
        ({"tools": None, "parallel_tool_calls": True}, "parallel_tool_calls"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": {"type": "auto"}}, "tool_choice"),
        ({"tool_choice": 3}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"tool_choice": NAMED | {"name": "find"}}, "tool_choice.function.name"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"structured_outputs": {"choice": ["yes", "no"]}}, "structured_outputs"),
        ({"functions": [{"name": "x"}]}, "functions"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_cannot_be_honoured_is_refused_by_name(api, more, param):
    answer = await api.http.post(CHAT, json=BODY | more)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert PATIENT not in answer.text
    assert len(answer.json()["error"]["message"]) < 500
    assert not api.engine.jobs


async def test_a_limit_that_no_call_fits_in_is_refused(api):
    answer = await api.http.post(CHAT, json=BODY | {"tool_choice": "required", "max_tokens": 40})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "max_tokens")
    assert not api.engine.jobs


async def test_a_tool_that_cannot_be_forced_is_named(api):
    bad = tool("bad_one", parameters={"type": "object", "properties": {"a": {"type": "strng"}}})
    answer = await api.http.post(CHAT, json=BODY | {"tools": [FIND, bad]})
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("invalid_grammar", "tools")
    assert "tools.1" in error["message"]
    assert "bad_one" in error["message"]


async def test_parameters_may_leave_out_that_they_are_an_object(api):
    api.engine.script = saying(END.replace("stop", "find"))
    answer = await api.http.post(CHAT, json=BODY | {"tools": [tool(parameters={})]})
    assert answer.status_code == 200, answer.text
