"""Chat, as OpenAI's own client sees it."""

import asyncio
import json
from typing import Any

import jsonschema
import pytest
from openai import BadRequestError, NotFoundError

GREEDY = {"model": "auto", "temperature": 0, "max_tokens": 24}
QUESTION = [{"role": "user", "content": "Name three common vital signs."}]
PATIENT = {
    "type": "object",
    "properties": {
        "sex": {"enum": ["female", "male", "unknown"]},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "symptoms": {
            "type": "array",
            "items": {"type": "string", "maxLength": 12},
            "minItems": 1,
            "maxItems": 3,
        },
    },
    "required": ["sex", "age", "symptoms"],
    "additionalProperties": False,
}
NEVER_DONE = {
    "type": "object",
    "properties": {"text": {"type": "string", "pattern": "^.{20000,}$"}},
    "required": ["text"],
    "additionalProperties": False,
}


def forced(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def text_of(completion) -> str:
    return completion.choices[0].message.content


async def streamed(client, **options) -> str:
    stream = await client.chat.completions.create(messages=QUESTION, stream=True, **(GREEDY | options))
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


def test_a_plain_answer(openai) -> None:
    completion = openai.chat.completions.create(messages=QUESTION, **GREEDY)
    assert text_of(completion)
    assert completion.object == "chat.completion"
    assert completion.id.startswith("chatcmpl-req_")
    assert completion.choices[0].finish_reason in ("stop", "length")
    usage = completion.usage
    assert 0 < usage.completion_tokens <= 24
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


async def test_a_plain_answer_to_the_asynchronous_client(async_openai) -> None:
    assert text_of(await async_openai.chat.completions.create(messages=QUESTION, **GREEDY))


def test_a_stream_says_the_same(openai) -> None:
    whole = openai.chat.completions.create(messages=QUESTION, **GREEDY)
    options = {"include_usage": True}
    stream = openai.chat.completions.create(messages=QUESTION, stream=True, stream_options=options, **GREEDY)
    *chunks, last = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text_of(whole)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == [
        whole.choices[0].finish_reason
    ]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len(chunks) > 5
    assert last.choices == []
    assert last.usage.completion_tokens == whole.usage.completion_tokens
    assert last.usage.prompt_tokens == whole.usage.prompt_tokens
    assert len({chunk.id for chunk in [*chunks, last]}) == 1


def test_a_stream_without_usage(openai) -> None:
    chunks = list(openai.chat.completions.create(messages=QUESTION, stream=True, **GREEDY))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_the_end_of_a_stream(http) -> None:
    body = GREEDY | {"messages": QUESTION, "stream": True}
    answer = http.post("/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-audit-id"].startswith("req_")
    events = answer.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]


def test_content_in_parts(openai) -> None:
    parts = [{"type": "text", "text": "Name three common "}, {"type": "text", "text": "vital signs."}]
    in_parts = openai.chat.completions.create(messages=[{"role": "user", "content": parts}], **GREEDY)
    assert text_of(in_parts) == text_of(openai.chat.completions.create(messages=QUESTION, **GREEDY))


def test_a_developer_is_a_system(openai) -> None:
    first, second = (
        openai.chat.completions.create(
            messages=[{"role": role, "content": "Answer in French."}, *QUESTION], **GREEDY
        )
        for role in ("developer", "system")
    )
    assert text_of(first) == text_of(second)
    assert first.usage.total_tokens == second.usage.total_tokens


def test_a_conversation(openai) -> None:
    first = openai.chat.completions.create(messages=QUESTION, **GREEDY).choices[0].message
    messages = [*QUESTION, first.to_dict(), {"role": "user", "content": "And one more?"}]
    assert text_of(openai.chat.completions.create(messages=messages, **GREEDY))


async def test_eight_streams_at_once(async_openai) -> None:
    answers = await asyncio.gather(*(streamed(async_openai) for _ in range(8)))
    assert len(answers) == 8
    assert all(answers)


def test_any_json_object(openai) -> None:
    completion = openai.chat.completions.create(
        messages=QUESTION,
        response_format={"type": "json_object"},
        **(GREEDY | {"max_tokens": 400, "frequency_penalty": 0.5}),
    )
    if completion.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(text_of(completion)), dict)
    assert text_of(completion).startswith("{")


def test_json_of_a_schema(openai) -> None:
    completion = openai.chat.completions.create(
        messages=QUESTION, response_format=forced(PATIENT), **(GREEDY | {"max_tokens": 200})
    )
    jsonschema.validate(json.loads(text_of(completion)), PATIENT)
    assert completion.choices[0].finish_reason == "stop"


async def test_json_of_a_schema_for_eight_at_once(async_openai) -> None:
    answers = await asyncio.gather(
        *(
            streamed(
                async_openai, response_format=forced(PATIENT), max_tokens=200, temperature=1.5, seed=seed
            )
            for seed in range(8)
        )
    )
    for answer in answers:
        jsonschema.validate(json.loads(answer), PATIENT)


@pytest.mark.parametrize("stream", [False, True])
async def test_stop_strings(async_openai, stream: bool) -> None:
    whole = await streamed(async_openai)
    stop = whole[8:15]  # cuts tokens at both ends
    wanted = whole[: whole.index(stop)]
    if stream:
        assert await streamed(async_openai, stop=["never to be seen", stop]) == wanted
        return
    completion = await async_openai.chat.completions.create(messages=QUESTION, stop=stop, **GREEDY)
    assert text_of(completion) == wanted
    assert completion.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_length_of_an_answer(openai, name: str) -> None:
    completion = openai.chat.completions.create(
        model="auto", messages=QUESTION, response_format=forced(NEVER_DONE), **{name: 7}
    )
    assert completion.usage.completion_tokens == 7
    assert completion.choices[0].finish_reason == "length"


def test_a_seed_repeats_an_answer(openai) -> None:
    sampled = GREEDY | {"temperature": 1.2}
    first, again, other = (
        text_of(openai.chat.completions.create(messages=QUESTION, seed=seed, **sampled))
        for seed in (7, 7, -(2**63))
    )
    assert first == again
    assert first != other


def test_several_answers(openai) -> None:
    several = openai.chat.completions.create(
        messages=QUESTION, n=3, seed=7, **(GREEDY | {"temperature": 1.2})
    )
    texts = [choice.message.content for choice in several.choices]
    assert len(set(texts)) == 3
    assert 3 * 24 >= several.usage.completion_tokens > 24


def test_several_answers_in_a_stream(openai) -> None:
    chunks = list(openai.chat.completions.create(messages=QUESTION, n=3, stream=True, **GREEDY))
    texts = dict.fromkeys(range(3), "")
    for chunk in chunks:
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert all(texts.values())
    assert sum(chunk.choices[0].finish_reason is not None for chunk in chunks) == 3


def test_penalties(openai) -> None:
    penalties = {"presence_penalty": 1.5, "frequency_penalty": -0.5, "top_p": 0.9}
    extra = {"repeat_penalty": 1.3, "top_k": 40, "min_p": 0.05}
    assert text_of(
        openai.chat.completions.create(
            messages=QUESTION, **penalties, extra_body=extra, **(GREEDY | {"temperature": 1})
        )
    )


def test_the_models(openai) -> None:
    (model,) = list(openai.models.list())
    assert openai.models.retrieve(model.id) == model
    completion = openai.chat.completions.create(messages=QUESTION, **(GREEDY | {"model": model.id}))
    assert completion.model == model.id
    with pytest.raises(NotFoundError):
        openai.models.retrieve("gpt-4o")


def test_errors_are_the_clients_own(openai) -> None:
    with pytest.raises(BadRequestError) as caught:
        openai.chat.completions.create(messages=QUESTION, n=9, **GREEDY)
    assert caught.value.param == "n"
    assert caught.value.code == "invalid_request"


async def leave(client, told: asyncio.Event, *, stream: bool) -> None:
    """Ask for what takes long, and hang up when told."""
    request = client.chat.completions.create(
        model="auto", messages=QUESTION, response_format=forced(NEVER_DONE), max_tokens=2900, stream=stream
    )
    if stream:
        async with await request as chunks:
            await anext(aiter(chunks))
            await told.wait()
    else:
        asking = asyncio.create_task(request)
        await told.wait()
        asking.cancel()
        await asyncio.wait({asking})


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves(server, async_openai, audit_rows, eventually, stream: bool) -> None:
    before = len(await audit_rows(server))
    told = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(leave(async_openai, told, stream=stream))
        await asyncio.to_thread(server.wait_running, 1)
        told.set()
    await asyncio.to_thread(eventually, lambda: server.metric("infirmary_requests_running") == 0, 2)
    begin, end = (await audit_rows(server))[before:]
    assert (begin.kind, end.kind, end.outcome) == ("begin", "end", "aborted")
    assert begin.request_id == end.request_id
