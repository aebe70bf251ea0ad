"""One client of a soak: asks, leaves or waits, and looks whether what comes back is in order."""

import asyncio
import json
from collections import Counter
from random import Random
from typing import Any

import httpx
from questions import CHAT, NOTE, SCHEMA, Question, Questions

ANSWER_S = 180
EVERY = {(429, "overloaded"), (504, "deadline_exceeded"), (503, "deidentification_unavailable")}


class Violation(Exception):
    """An answer that no server should give."""


class Client:
    """Asks one thing after the other until it is told to end."""

    def __init__(self, http: httpx.AsyncClient, random: Random, tally: Counter[str]) -> None:
        self._http, self._random, self._tally = http, random, tally
        self._questions = Questions(random)

    async def run(self, ending: asyncio.Event, violations: list[str]) -> None:
        while not ending.is_set():
            crowd = 24 if self._random.random() < 0.01 else 1
            await asyncio.gather(*(self._ask(self._questions.next(), violations) for _ in range(crowd)))

    async def _ask(self, question: Question, violations: list[str]) -> None:
        try:
            async with asyncio.timeout(question.patience_s or ANSWER_S):
                outcome = await self._outcome(question)
        except TimeoutError:
            outcome = "left" if question.patience_s else "hang"
        except (Violation, httpx.HTTPError, ValueError, KeyError, IndexError) as error:
            outcome = "violation"
            violations.append(f"{question.kind}: {type(error).__name__}: {error}")
        if outcome == "hang":
            violations.append(f"{question.kind}: no answer within {ANSWER_S} s")
        self._tally[f"{question.kind}: {outcome}"] += 1

    async def _outcome(self, question: Question) -> str:
        async with self._http.stream(
            "POST", question.path, json=question.body, headers=question.headers
        ) as answer:
            if answer.status_code == 200 and question.body.get("stream"):
                return await self._streamed(question, answer)
            content = json.loads(await answer.aread())
        if answer.status_code != 200:
            return refusal(question, answer.status_code, content)
        if question.path == NOTE:
            check_note(question, content)
        else:
            self._check_chat(question, content)
        return "ok"

    async def _streamed(self, question: Question, answer: httpx.Response) -> str:
        events = [line[6:] async for line in answer.aiter_lines() if line.startswith("data: ")]
        require(bool(events), "a stream without events")
        last = json.loads(events[-1]) if events[-1] != "[DONE]" else {}
        if "error" in last:
            return refusal(question, 504 if last["error"]["code"] == "deadline_exceeded" else 0, last)
        require(events[-1] == "[DONE]", f"a stream that ends with {events[-1][:100]}")
        chunks = [json.loads(event) for event in events[:-1]]
        reasons = [each["finish_reason"] for chunk in chunks for each in chunk["choices"]]
        ends = [reason for reason in reasons if reason]
        require(len(ends) == question.body.get("n", 1), f"a stream with ends {ends}")
        return "ok"

    def _check_chat(self, question: Question, content: dict[str, Any]) -> None:
        body, choices = question.body, content["choices"]
        require(len(choices) == body.get("n", 1), f"{len(choices)} choices")
        for choice in choices:
            require(choice["finish_reason"] in ("stop", "length", "tool_calls"), "no reason to finish")
            for call in choice["message"].get("tool_calls", ()):
                arguments = json.loads(call["function"]["arguments"])
                require(arguments.keys() == SCHEMA["properties"].keys(), "arguments")
            if "response_format" in body and choice["finish_reason"] == "stop":
                require(
                    json.loads(choice["message"]["content"]).keys() == SCHEMA["properties"].keys(), "JSON"
                )
            if body.get("logprobs"):
                scored = choice["logprobs"]["content"]
                require(all(each["logprob"] <= 0 for each in scored), "logprobs")
        require(0 < content["usage"]["completion_tokens"] <= body["max_tokens"] * len(choices), "usage")
        if question.kind == "turn":
            self._questions.answered(choices[0]["message"]["content"])


def require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Violation(otherwise)


def check_note(question: Question, content: dict[str, Any]) -> None:
    for each in content["medications"]:
        evidence = each["evidence"]
        found = question.body["text"][evidence["start"] : evidence["end"]]
        require(found == evidence["quote"], "a quote that is not in the note")


def refusal(question: Question, status: int, content: dict[str, Any]) -> str:
    """The name of an error that is in order."""
    error = content["error"] if question.path == CHAT else content
    require(bool(error["message"] if question.path == CHAT else error["detail"]), "an error without words")
    known = (status, error["code"]) in EVERY | question.refusals
    require(known, f"{status} {error['code']}: {json.dumps(content)[:200]}")
    return str(error["code"])
