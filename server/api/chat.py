"""`POST /v1/chat/completions`."""

from fastapi import Request, Response

from schemas.openai import ChatCompletion, ChatCompletionRequest
from server.api.completion import TIERS, Completion
from server.api.disconnect import unless_disconnected
from server.api.guard import guarded_router, principal_of
from server.api.output_type import constraint_of, parameter_of
from server.api.services import services_of
from server.api.tools import messages_of, tools_of
from server.api.urgency import PRIORITY_HEADER, Asked, AskedUrgency
from server.auth import Scope
from server.engine.protocol import Priority, Sampling
from server.errors import InvalidGrammar, InvalidRequest
from server.inference.constraint import Constraint
from server.inference.request import GenerationRequest, Urgency

PATH = "/v1/chat/completions"

_PRIORITIES: dict[str, Priority] = {tier: priority for priority, tier in TIERS.items()}

router = guarded_router(Scope.CHAT, tags=["OpenAI"])


@router.post(PATH, response_model=ChatCompletion)
async def create_chat_completion(
    request: Request, body: ChatCompletionRequest, headers: AskedUrgency
) -> Response:
    """Answer a conversation, at once or as a stream of server-sent events."""
    services = services_of(request)
    constraint = constraint_of(body, services.code_systems)
    asked = _generation_request(body, request.state.request_id, _urgency(body, headers), constraint)
    opening = services.inference.generate(asked, principal_of(request))
    completion = Completion(
        PATH,
        scored=bool(body.logprobs),
        include_usage=_wants_usage(body),
        calling=asked.tools is not None,
    )
    work = completion.stream(opening) if body.stream else completion.whole(opening)
    try:
        return await unless_disconnected(request, work)
    except InvalidGrammar as error:
        param = "tools" if asked.tools else parameter_of(body)
        raise InvalidGrammar(error.message, param=param) from None


def _urgency(body: ChatCompletionRequest, headers: Asked) -> Urgency:
    """Somebody watches a stream: unless it is said otherwise, it goes first."""
    tier = _PRIORITIES.get(body.service_tier or "auto")
    if tier is not None and headers.priority not in (None, tier):
        raise InvalidRequest(
            f"service_tier and the header {PRIORITY_HEADER} contradict each other", param="service_tier"
        )
    default = Priority.INTERACTIVE if body.stream else Priority.NORMAL
    return headers.urgency(default if tier is None else tier)


def _generation_request(
    body: ChatCompletionRequest, request_id: str, urgency: Urgency, constraint: Constraint | None
) -> GenerationRequest:
    return GenerationRequest(
        request_id=request_id,
        route=PATH,
        model=body.model,
        messages=messages_of(body.messages),
        sampling=_sampling(body),
        answers=body.n or 1,
        max_tokens=body.answer_tokens,
        stop=body.stop_strings,
        constraint=constraint,
        tools=tools_of(body),
        urgency=urgency,
    )


def _sampling(body: ChatCompletionRequest) -> Sampling:
    return Sampling(
        temperature=body.temperature,
        top_k=body.top_k,
        top_p=body.top_p,
        min_p=body.min_p,
        repeat_penalty=body.repeat_penalty,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        seed=body.seed,
        logit_bias=body.logit_bias or {},
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
    )


def _wants_usage(body: ChatCompletionRequest) -> bool:
    return body.stream_options is not None and body.stream_options.include_usage
