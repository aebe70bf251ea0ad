"""Answers in OpenAI's shapes: as one document, or as a stream of chunks."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any

from fastapi import Response

from schemas.openai import ChatCompletion, Choice, PromptTokensDetails, ServiceTier, Usage
from server.api.errors import body_of
from server.api.logprobs import choice_logprobs
from server.api.streaming import DONE, EventStream, event
from server.api.tool_calls import deltas_of, message_of
from server.engine.protocol import Priority
from server.errors import InfirmaryError
from server.inference.generation import Generation, Piece

Opening = AbstractAsyncContextManager[Generation]

TIERS: dict[Priority, ServiceTier] = {
    Priority.INTERACTIVE: "priority",
    Priority.NORMAL: "default",
    Priority.BULK: "flex",
}


@dataclass(frozen=True, slots=True)
class Completion:
    """How the answers to one request at `path` are told; `scored` with log-probabilities.

    Where they may be `calling` tools, they have no content until there is some.
    """

    path: str
    scored: bool
    include_usage: bool
    calling: bool = False

    async def whole(self, opening: Opening) -> Response:
        """All answers in one document."""
        async with opening as generation:
            pieces = await generation.whole()
        completion = ChatCompletion(
            **_head(generation), choices=self._choices(generation, pieces), usage=_usage(generation)
        )
        return Response(
            completion.model_dump_json(), media_type="application/json", headers=_headers(generation)
        )

    async def stream(self, opening: Opening) -> Response:
        """Wait for the first piece, so that whatever fails until then has its proper status."""
        async with AsyncExitStack() as stack:
            generation = await stack.enter_async_context(opening)
            pieces = await stack.enter_async_context(aclosing(generation.pieces()))
            # Not as the default: Python 3.11 takes a tuple there for the arguments of an exception.
            first = await anext(pieces, None) or (0, Piece(""))
            held = stack.pop_all()
            return EventStream(self._events(generation, first, pieces, held), held, _headers(generation))

    async def _events(
        self,
        generation: Generation,
        first: tuple[int, Piece],
        pieces: AsyncIterator[tuple[int, Piece]],
        held: AsyncExitStack,
    ) -> AsyncGenerator[bytes, None]:
        """The generation is let go, and its audit record closed, before the stream says that it is whole."""
        head = _head(generation) | {"object": "chat.completion.chunk"}
        for index in range(len(generation.answers)):
            content = None if self.calling else ""
            yield event(_chunk(head, index, {"role": "assistant", "content": content}))
        for told in self._told(head, generation, *first):
            yield event(told)
        try:
            async with held:
                async for index, piece in pieces:
                    for told in self._told(head, generation, index, piece):
                        yield event(told)
        except InfirmaryError as error:
            yield event(body_of(error, self.path))
            return
        for index, answer in enumerate(generation.answers):
            yield event(_chunk(head, index, {}, finish_reason=answer.finish_reason))
        if self.include_usage:
            yield event(head | {"choices": [], "usage": _usage(generation).model_dump()})
        yield DONE

    def _told(
        self, head: dict[str, Any], generation: Generation, index: int, piece: Piece
    ) -> Iterator[dict[str, Any]]:
        for delta in deltas_of(piece):
            yield _chunk(head, index, delta, logprobs=self._logprobs(generation, piece))

    def _choices(self, generation: Generation, pieces: list[Piece]) -> list[Choice]:
        return [
            Choice(
                index=index,
                message=message_of(piece),
                finish_reason=answer.finish_reason or "stop",
                logprobs=self._logprobs(generation, piece),
            )
            for index, (answer, piece) in enumerate(zip(generation.answers, pieces, strict=True))
        ]

    def _logprobs(self, generation: Generation, piece: Piece) -> Any:
        if not self.scored:
            return None
        return choice_logprobs(piece.scores, generation.weights.vocabulary).model_dump()


def _head(generation: Generation) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{generation.audit_id}",
        "created": int(time.time()),
        "model": generation.weights.version,
        "system_fingerprint": generation.weights.digest[:16],
        "service_tier": TIERS[generation.priority],
    }


def _headers(generation: Generation) -> dict[str, str]:
    return {"x-audit-id": generation.audit_id, "x-weights-digest": generation.weights.digest}


def _chunk(
    head: dict[str, Any],
    index: int,
    delta: dict[str, Any],
    *,
    logprobs: Any = None,
    finish_reason: str | None = None,
) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
    return head | {"choices": [choice]}


def _usage(generation: Generation) -> Usage:
    prompt, completion = generation.prompt_tokens, generation.completion_tokens
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=generation.cached_tokens),
    )
