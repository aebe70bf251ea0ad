"""Tools, as OpenAI's own client sees them. What such small weights choose to call is not looked at."""

import asyncio
import json
from typing import Any

import jsonschema
import pytest
from openai import BadRequestError

GREEDY = {"model": "auto", "temperature": 0, "max_tokens": 160}
QUESTION = [{"role": "user", "content": "What is the dose of metoprolol for Maria Alvarez?"}]
PARAMETERS: dict[str, dict[str, Any]] = {
    "get_dose": {
        "type": "object",
        "properties": {
            "drug": {"enum": ["metoprolol", "aspirin"]},
            "patient": {"enum": ["Maria Alvarez", "nobody"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 30},
        },
        "required": ["drug", "patient", "days"],
        "additionalProperties": False,
    },
    "notify": {
        "type": "object",
        "properties": {"urgent": {"type": "boolean"}, "text": {"type": "string", "maxLength": 12}},
        "required": ["urgent"],
        "additionalProperties": False,
    },
}
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {"name": name, "description": f"Does {name}.", "parameters": schema, "strict": True},
    }
    for name, schema in PARAMETERS.items()
]
GET_DOSE = {"type": "function", "function": {"name": "get_dose"}}


def assert_fits(call: Any) -> dict[str, Any]:
    assert call.type == "function"
    assert call.id.startswith("call_")
    arguments = json.loads(call.function.arguments)
    jsonschema.validate(arguments, PARAMETERS[call.function.name])
    return arguments


def test_a_named_tool_is_called_once(openai) -> None:
    completion = openai.chat.completions.create(
        messages=QUESTION, tools=TOOLS, tool_choice=GET_DOSE, **GREEDY
    )
    [choice] = completion.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    [call] = choice.message.tool_calls
    assert call.function.name == "get_dose"
    assert assert_fits(call)["patient"] in ("Maria Alvarez", "nobody")


@pytest.mark.parametrize("seed", range(4))
def test_required_calls_fit_their_schemas(openai, seed: int) -> None:
    options = GREEDY | {"temperature": 1.5, "seed": seed, "max_tokens": 400}
    completion = openai.chat.completions.create(
        messages=QUESTION, tools=TOOLS, tool_choice="required", **options
    )
    [choice] = completion.choices
    assert choice.message.content is None
    assert choice.message.tool_calls
    assert len(choice.message.tool_calls) <= 16
    for call in choice.message.tool_calls:
        assert_fits(call)
    assert len({call.id for call in choice.message.tool_calls}) == len(choice.message.tool_calls)


def test_one_call_where_several_are_not_wanted(openai) -> None:
    completion = openai.chat.completions.create(
        messages=QUESTION, tools=TOOLS, tool_choice="required", parallel_tool_calls=False, **GREEDY
    )
    [choice] = completion.choices
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls
    assert_fits(call)


async def test_calls_or_text_are_left_to_the_model(async_openai) -> None:
    answers = await asyncio.gather(
        *(
            async_openai.chat.completions.create(
                messages=QUESTION,
                tools=TOOLS,
                **(GREEDY | {"temperature": 1, "seed": seed, "max_tokens": 60}),
            )
            for seed in range(4)
        )
    )
    for answer in answers:
        [choice] = answer.choices
        assert "<tool_call>" not in (choice.message.content or "")
        if choice.finish_reason == "tool_calls":
            assert choice.message.tool_calls
        for call in choice.message.tool_calls or []:
            assert_fits(call)


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_is_shown_how_calls_when_it_is_free_to(openai, stream: bool) -> None:
    """After three calls of the same kind even small weights make a fourth."""
    messages: list[Any] = []
    for days, drug in enumerate(["metoprolol", "aspirin", "metoprolol"], 3):
        arguments = json.dumps({"drug": drug, "patient": "nobody", "days": days})
        call = {"id": "a", "type": "function", "function": {"name": "get_dose", "arguments": arguments}}
        messages.append({"role": "user", "content": f"What is the dose of {drug} for {days} days?"})
        messages.append({"role": "assistant", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": "a", "content": "25 mg"})
        messages.append({"role": "assistant", "content": "25 mg."})
    messages.append({"role": "user", "content": "What is the dose of aspirin for 9 days?"})
    asked = {"messages": messages, "tools": TOOLS[:1]} | GREEDY
    if stream:
        with openai.chat.completions.stream(**asked) as gathered:
            choice = gathered.get_final_completion().choices[0]
    else:
        choice = openai.chat.completions.create(**asked).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    for call in choice.message.tool_calls:
        assert_fits(call)


@pytest.mark.parametrize("choice", ["required", GET_DOSE], ids=["required", "named"])
def test_a_stream_gathers_to_the_same_calls(openai, choice: Any) -> None:
    asked = {
        "messages": QUESTION,
        "tools": TOOLS,
        "tool_choice": choice,
        "parallel_tool_calls": False,
    } | GREEDY
    whole = openai.chat.completions.create(**asked).choices[0].message
    with openai.chat.completions.stream(**asked) as stream:
        events = list(stream)
        final = stream.get_final_completion().choices[0]
    assert final.finish_reason == "tool_calls"
    assert [call.function.arguments for call in final.message.tool_calls] == [
        call.function.arguments for call in whole.tool_calls
    ]
    for call in final.message.tool_calls:
        assert assert_fits(call) == call.function.parsed_arguments
    done = [each for each in events if each.type == "tool_calls.function.arguments.done"]
    assert [each.name for each in done] == [call.function.name for call in whole.tool_calls]


def test_the_deltas_of_a_stream(openai) -> None:
    chunks = list(
        openai.chat.completions.create(
            messages=QUESTION, tools=TOOLS, tool_choice=GET_DOSE, stream=True, **GREEDY
        )
    )
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    first, *rest = deltas
    assert (first.index, first.type, first.function.name, first.function.arguments) == (
        0,
        "function",
        "get_dose",
        "",
    )
    assert first.id.startswith("call_")
    assert all((each.id, each.type, each.function.name, each.index) == (None, None, None, 0) for each in rest)
    assert len(rest) > 1
    assert all(chunk.choices[0].delta.content is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_conversation_of_several_turns(openai, streamed: bool) -> None:
    asked = {"tools": TOOLS, "tool_choice": GET_DOSE} | GREEDY
    messages: list[Any] = [*QUESTION]
    if streamed:
        with openai.chat.completions.stream(messages=messages, **asked) as stream:
            message = stream.get_final_completion().choices[0].message
    else:
        message = openai.chat.completions.create(messages=messages, **asked).choices[0].message
    messages.append(message)
    for call in message.tool_calls:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": '{"dose": "25 mg"}'})
    answer = openai.chat.completions.create(messages=messages, tools=TOOLS, tool_choice="none", **GREEDY)
    assert answer.choices[0].message.content
    assert answer.choices[0].message.tool_calls is None
    again = openai.chat.completions.create(messages=messages, **asked)
    assert_fits(again.choices[0].message.tool_calls[0])
    without = openai.chat.completions.create(messages=messages, **GREEDY)
    assert without.choices[0].message.content


def test_several_answers_with_calls(openai) -> None:
    options = GREEDY | {"temperature": 1.5, "seed": 3}
    completion = openai.chat.completions.create(
        messages=QUESTION, tools=TOOLS, tool_choice=GET_DOSE, n=3, **options
    )
    assert len(completion.choices) == 3
    calls = [choice.message.tool_calls[0] for choice in completion.choices]
    for call in calls:
        assert_fits(call)
    assert len({call.id for call in calls}) == 3


def test_a_call_that_the_limit_cuts_off(openai) -> None:
    long = {"type": "object", "properties": {"text": {"type": "string", "pattern": "^[a-z ]{200,300}$"}}}
    long |= {"required": ["text"], "additionalProperties": False}
    tools: Any = [{"type": "function", "function": {"name": "get_dose", "parameters": long}}]
    asked = {"messages": QUESTION, "tools": tools, "tool_choice": GET_DOSE} | GREEDY | {"max_tokens": 28}
    [choice] = openai.chat.completions.create(**asked).choices
    assert choice.finish_reason == "length"
    assert choice.message.tool_calls is None
    assert choice.message.content == ""
    chunks = list(openai.chat.completions.create(stream=True, **asked))
    assert chunks[-1].choices[0].finish_reason == "length"


def test_arguments_that_quote_the_users_last_message(openai) -> None:
    quote = {"type": "string", "x-quote-of": "text", "x-max-words": 4}
    quoting = {"type": "object", "properties": {"words": quote}, "required": ["words"]}
    quoting["additionalProperties"] = False
    tools: Any = [
        {"type": "function", "function": {"name": name, "parameters": quoting}} for name in ("cite", "note")
    ]
    for tool in tools:
        choice = {"type": "function", "function": {"name": tool["function"]["name"]}}
        for chosen in (choice, "required"):
            completion = openai.chat.completions.create(
                messages=QUESTION, tools=tools, tool_choice=chosen, parallel_tool_calls=False, **GREEDY
            )
            [call] = completion.choices[0].message.tool_calls
            assert json.loads(call.function.arguments)["words"] in QUESTION[0]["content"]


def test_a_tool_without_parameters(openai) -> None:
    tools: Any = [{"type": "function", "function": {"name": "stop"}}]
    completion = openai.chat.completions.create(
        messages=QUESTION, tools=tools, tool_choice="required", parallel_tool_calls=False, **GREEDY
    )
    assert completion.choices[0].message.tool_calls[0].function.arguments == "{}"


def test_refusals_name_the_parameter(openai) -> None:
    with pytest.raises(BadRequestError) as caught:
        openai.chat.completions.create(messages=QUESTION, tool_choice="required", **GREEDY)
    assert caught.value.param == "tool_choice"
