"""`POST /v1/chat/completions`."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from typing import Any

from fastapi import Request, Response

from schemas.openai import (
    AnswerMessage,
    ChatCompletion,
    ChatCompletionRequest,
    Choice,
    JsonObjectFormat,
    JsonSchemaFormat,
    ServiceTier,
    Usage,
)
from server.api.disconnect import unless_disconnected
from server.api.errors import body_of
from server.api.guard import guarded_router, principal_of
from server.api.services import services_of
from server.api.streaming import DONE, EventStream, event
from server.api.urgency import PRIORITY_HEADER, Asked, AskedUrgency
from server.auth import Scope
from server.engine.protocol import Priority, Sampling
from server.errors import InfirmaryError, InvalidGrammar, InvalidRequest
from server.grammar.compiler import ANY_OBJECT
from server.inference.constraint import Constraint, SchemaConstraint
from server.inference.generation import Generation
from server.inference.request import GenerationRequest, Message, Urgency

PATH = "/v1/chat/completions"

Opening = AbstractAsyncContextManager[Generation]

_TIERS: dict[Priority, ServiceTier] = {
    Priority.INTERACTIVE: "priority",
    Priority.NORMAL: "default",
    Priority.BULK: "flex",
}
_PRIORITIES: dict[str, Priority] = {tier: priority for priority, tier in _TIERS.items()}

router = guarded_router(Scope.CHAT, tags=["OpenAI"])


@router.post(PATH, response_model=ChatCompletion)
async def create_chat_completion(
    request: Request, body: ChatCompletionRequest, headers: AskedUrgency
) -> Response:
    """Answer a conversation, at once or as a stream of server-sent events."""
    asked = _generation_request(body, request.state.request_id, _urgency(body, headers))
    opening = services_of(request).inference.generate(asked, principal_of(request))
    work = _stream(opening, include_usage=_wants_usage(body)) if body.stream else _complete(opening)
    try:
        return await unless_disconnected(request, work)
    except InvalidGrammar as error:
        raise InvalidGrammar(error.message, param="response_format") from None


async def _complete(opening: Opening) -> Response:
    async with opening as generation:
        text = await generation.text()
    choice = Choice(message=AnswerMessage(content=text), finish_reason=generation.finish_reason or "stop")
    completion = ChatCompletion(**_head(generation), choices=[choice], usage=_usage(generation))
    return Response(completion.model_dump_json(), media_type="application/json", headers=_headers(generation))


async def _stream(opening: Opening, *, include_usage: bool) -> Response:
    """Wait for the first piece, so that whatever fails until then has its proper status."""
    async with AsyncExitStack() as stack:
        generation = await stack.enter_async_context(opening)
        pieces = await stack.enter_async_context(aclosing(aiter(generation)))
        first = await anext(pieces, "")
        held = stack.pop_all()
        events = _events(generation, first, pieces, held, include_usage=include_usage)
        return EventStream(events, held, _headers(generation))


async def _events(
    generation: Generation,
    first: str,
    pieces: AsyncIterator[str],
    held: AsyncExitStack,
    *,
    include_usage: bool,
) -> AsyncGenerator[bytes, None]:
    """The generation is let go, and so its audit record closed, before the stream says that it is whole."""
    head = _head(generation) | {"object": "chat.completion.chunk"}
    yield event(_chunk(head, {"role": "assistant", "content": first}))
    try:
        async with held:
            async for piece in pieces:
                yield event(_chunk(head, {"content": piece}))
    except InfirmaryError as error:
        yield event(body_of(error, PATH))
        return
    yield event(_chunk(head, {}, generation.finish_reason))
    if include_usage:
        yield event(head | {"choices": [], "usage": _usage(generation).model_dump()})
    yield DONE


def _urgency(body: ChatCompletionRequest, headers: Asked) -> Urgency:
    """Somebody watches a stream: unless it is said otherwise, it goes first."""
    tier = _PRIORITIES.get(body.service_tier or "auto")
    if tier is not None and headers.priority not in (None, tier):
        raise InvalidRequest(
            f"service_tier and the header {PRIORITY_HEADER} contradict each other", param="service_tier"
        )
    default = Priority.INTERACTIVE if body.stream else Priority.NORMAL
    return headers.urgency(default if tier is None else tier)


def _generation_request(body: ChatCompletionRequest, request_id: str, urgency: Urgency) -> GenerationRequest:
    messages = tuple(
        Message("system" if each.role == "developer" else each.role, each.text) for each in body.messages
    )
    return GenerationRequest(
        request_id=request_id,
        route=PATH,
        model=body.model,
        messages=messages,
        sampling=Sampling(
            temperature=body.temperature,
            top_k=body.top_k,
            top_p=body.top_p,
            min_p=body.min_p,
            repeat_penalty=body.repeat_penalty,
            presence_penalty=body.presence_penalty,
            frequency_penalty=body.frequency_penalty,
            seed=body.seed,
        ),
        max_tokens=body.answer_tokens,
        stop=body.stop_strings,
        constraint=_constraint(body),
        urgency=urgency,
    )


def _constraint(body: ChatCompletionRequest) -> Constraint | None:
    if isinstance(body.response_format, JsonSchemaFormat):
        return SchemaConstraint(body.response_format.json_schema.json_schema)
    if isinstance(body.response_format, JsonObjectFormat):
        return SchemaConstraint(ANY_OBJECT)
    return None


def _head(generation: Generation) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{generation.audit_id}",
        "created": int(time.time()),
        "model": generation.weights.version,
        "system_fingerprint": generation.weights.digest[:16],
        "service_tier": _TIERS[generation.priority],
    }


def _headers(generation: Generation) -> dict[str, str]:
    return {"x-audit-id": generation.audit_id, "x-weights-digest": generation.weights.digest}


def _chunk(head: dict[str, Any], delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    return head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def _usage(generation: Generation) -> Usage:
    prompt, completion = generation.prompt_tokens, generation.completion_tokens
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def _wants_usage(body: ChatCompletionRequest) -> bool:
    return body.stream_options is not None and body.stream_options.include_usage
