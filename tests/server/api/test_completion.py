"""Several answers, log-probabilities, biases and cached tokens, in OpenAI's shapes."""

import json
import math
from typing import Any

import pytest

from server.engine.job import Job
from server.engine.protocol import Output, TokenLogprob
from server.errors import EngineUnavailable

CHAT = "/v1/chat/completions"
PATIENT = "Zebulon Quackenbush"
BODY = {"model": "auto", "messages": [{"role": "user", "content": f"{PATIENT}: how is he?"}]}


def said(text: str, finish: str | None = None, **more: Any) -> Output:
    return Output(1, list(text.encode()), finish, **more)


def scored(text: str, finish: str | None = None) -> Output:
    top = [(ord("A"), -0.5), (ord("B"), -math.inf)]
    return said(text, finish, logprobs=[TokenLogprob(-0.25, top) for _ in text])


def numbered(job: Job) -> list[Output | Exception]:
    return [
        said(f"seed {job.sampling.seed}", cached=4),
        said("!", "length" if job.sampling.seed == 7 else "stop"),
    ]


def events_of(answer: Any) -> list[dict[str, Any]]:
    *events, done = answer.text.strip().split("\n\n")
    assert done == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in events]


async def test_several_answers(api):
    api.engine.script = numbered
    answer = (await api.http.post(CHAT, json=BODY | {"n": 3, "seed": 7})).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["seed 7!", "seed 8!", "seed 9!"]
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["length", "stop", "stop"]
    usage = answer["usage"]
    assert usage["completion_tokens"] == 21
    assert usage["total_tokens"] == usage["prompt_tokens"] + 21
    assert usage["prompt_tokens_details"] == {"cached_tokens": 4}
    [end] = api.audit.ends
    assert (end["outcome"], end["finish_reason"]) == ("completed", "length,stop")
    assert (end["prompt_tokens"], end["completion_tokens"]) == (usage["prompt_tokens"], 21)
    assert len({tuple(job.tokens) for job in api.engine.jobs}) == 1


async def test_several_answers_without_a_seed_draw_by_none(api):
    await api.http.post(CHAT, json=BODY | {"n": 2})
    assert [job.sampling.seed for job in api.engine.jobs] == [None, None]


async def test_several_answers_in_a_stream(api):
    api.engine.script = numbered
    body = BODY | {"n": 3, "seed": 7, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = events_of(await api.http.post(CHAT, json=body))
    choices = [chunk["choices"][0] for chunk in chunks]
    indexes = [choice["index"] for choice in choices if choice["delta"].get("content")]
    assert indexes == [0, 1, 2, 0, 1, 2]
    for index in range(3):
        own = [choice for choice in choices if choice["index"] == index]
        assert own[0]["delta"]["role"] == "assistant"
        assert "".join(choice["delta"].get("content", "") for choice in own) == f"seed {7 + index}!"
        assert [choice["finish_reason"] for choice in own if choice["finish_reason"]] == [
            "length" if index == 0 else "stop"
        ]
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 21)


@pytest.mark.parametrize("n", [1, 2])
async def test_an_answer_of_nothing_is_a_stream_too(api, n):
    api.engine.script = lambda job: [said("", "stop")]
    choices = [
        event["choices"][0]
        for event in events_of(await api.http.post(CHAT, json=BODY | {"n": n, "stream": True}))
    ]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == ""
    assert sum(choice["finish_reason"] == "stop" for choice in choices) == n


@pytest.mark.parametrize("stream", [False, True])
async def test_one_answer_that_fails_is_the_requests_failure(api, stream):
    def script(job: Job) -> list[Output | Exception]:
        return [said("a"), EngineUnavailable("gone") if job.sampling.seed == 8 else said("b", "stop")]

    api.engine.script = script
    answer = await api.http.post(CHAT, json=BODY | {"n": 2, "seed": 7, "stream": stream})
    assert answer.status_code == (200 if stream else 503)
    assert "engine_unavailable" in answer.text
    assert "[DONE]" not in answer.text
    assert [end["outcome"] for end in api.audit.ends] == ["failed"]


async def test_log_probabilities(api):
    api.engine.script = lambda job: [scored("a"), scored("b", "stop")]
    answer = await api.http.post(CHAT, json=BODY | {"logprobs": True, "top_logprobs": 2})
    [job] = api.engine.jobs
    assert job.sampling.logprobs == 2
    content = answer.json()["choices"][0]["logprobs"]["content"]
    top = [
        {"token": "A", "logprob": -0.5, "bytes": [65]},
        {"token": "B", "logprob": -9999.0, "bytes": [66]},
    ]
    assert content == [
        {"token": sign, "logprob": -0.25, "bytes": [ord(sign)], "top_logprobs": top} for sign in "ab"
    ]


async def test_log_probabilities_show_what_the_model_wrote_and_no_identity(api):
    api.engine.script = lambda job: [*map(scored, "Dear [NAME_1]"), scored("!", "stop")]
    whole = (await api.http.post(CHAT, json=BODY | {"logprobs": True})).json()["choices"][0]
    assert whole["message"]["content"] == f"Dear {PATIENT}!"
    assert "".join(each["token"] for each in whole["logprobs"]["content"]) == "Dear [NAME_1]!"

    chunks = events_of(await api.http.post(CHAT, json=BODY | {"logprobs": True, "stream": True}))
    choices = [chunk["choices"][0] for chunk in chunks]
    tokens = [each for choice in choices for each in (choice["logprobs"] or {"content": []})["content"]]
    assert tokens == whole["logprobs"]["content"]
    assert [job.sampling.logprobs for job in api.engine.jobs] == [0, 0]


async def test_without_asking_there_are_none(api):
    answer = await api.http.post(CHAT, json=BODY)
    assert answer.json()["choices"][0]["logprobs"] is None
    assert api.engine.jobs[0].sampling.logprobs is None


async def test_a_bias_reaches_the_engine(api):
    await api.http.post(CHAT, json=BODY | {"logit_bias": {"0": -100, "255": 1.5}})
    assert api.engine.jobs[0].sampling.logit_bias == {0: -100.0, 255: 1.5}


@pytest.mark.parametrize(
    "more, said_in_error",
    [
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"n": "2"}, "n"),
        ({"n": True}, "n"),
        ({"logit_bias": {"256": 1}}, "256"),
        ({"logit_bias": {"12345678901": 1}}, "logit_bias"),
        ({"logit_bias": {PATIENT: 1}}, "logit_bias"),
        ({"logit_bias": {"1": 101}}, "logit_bias"),
        ({"logit_bias": {"1": True}}, "logit_bias"),
        ({"logit_bias": {"1": "1"}}, "logit_bias"),
        ({"logit_bias": [1]}, "logit_bias"),
        ({"logit_bias": {str(token): 1 for token in range(1025)}}, "logit_bias"),
        ({"logprobs": 1}, "logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": False, "top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logprobs": True, "response_format": {"type": "json_object"}}, "logprobs"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_cannot_be_honoured_is_refused_by_name(api, more, said_in_error):
    answer = await api.http.post(CHAT, json=BODY | more)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert said_in_error in error["message"]
    assert PATIENT not in answer.text
    assert not api.engine.jobs
