"""The OpenAI-compatible shapes that `/v1/chat/completions` and `/v1/models` speak.

Source: the OpenAI API reference, chat completions. What is not declared here is refused by name.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    JsonValue,
    ValidationInfo,
    field_validator,
    model_validator,
)

from schemas.base import Strict
from schemas.structured_outputs import StructuredOutputs
from schemas.tools import MAX_TOOLS, FunctionTool, SentToolCall, ToolCall, ToolChoice

MAX_STOP_STRINGS = 16
MAX_ANSWERS = 8
MAX_BIASED_TOKENS = 1024
MAX_TOP_LOGPROBS = 20
MAX_BIAS = 100

_TOKEN_ID = re.compile(r"[0-9]{1,9}")


class TextPart(Strict):
    """One part of a message; other kinds of part are refused."""

    type: Literal["text"]
    text: str


def _as_parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


Content = Annotated[
    list[TextPart],
    BeforeValidator(_as_parts, json_schema_input_type=str | list[TextPart]),
    Field(min_length=1),
]


class ChatMessage(Strict):
    """One turn. The null fields are those that clients send back with an answer they were given.

    `parsed` is what OpenAI's Python client adds to an answer that it parsed: the content once more.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    tool_calls: list[SentToolCall] | None = Field(None, min_length=1)
    tool_call_id: str | None = Field(None, validate_default=True)
    content: Content | None = Field(None, validate_default=True)
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: None = None
    parsed: JsonValue = None

    @field_validator("tool_calls")
    @classmethod
    def _only_assistants_call(cls, calls: Any, info: ValidationInfo) -> Any:
        if calls and info.data.get("role", "assistant") != "assistant":
            raise ValueError("only an assistant calls tools")
        return calls

    @field_validator("tool_call_id")
    @classmethod
    def _only_tools_answer_calls(cls, call_id: str | None, info: ValidationInfo) -> str | None:
        if "role" in info.data and (call_id is not None) != (info.data["role"] == "tool"):
            raise ValueError("a message of the role 'tool' needs it, and no other has it")
        return call_id

    @field_validator("content")
    @classmethod
    def _only_calls_need_no_content(cls, content: Any, info: ValidationInfo) -> Any:
        if content is None and {"role", "tool_calls"} <= info.data.keys() and not info.data["tool_calls"]:
            raise ValueError("a text is needed, except beside tool_calls")
        return content

    @property
    def text(self) -> str:
        """The parts' texts, joined without anything between them."""
        return "".join(part.text for part in self.content or ())


def _as_token_ids(bias: Any) -> Any:
    """The errors name no key: what a caller may have written there by mistake is not said again."""
    if not isinstance(bias, dict) or len(bias) > MAX_BIASED_TOKENS:
        raise ValueError(f"an object of at most {MAX_BIASED_TOKENS} token ids is expected")
    if not all(isinstance(key, str) and _TOKEN_ID.fullmatch(key) for key in bias):
        raise ValueError("every key must be a token id in decimal digits")
    if not all(type(value) in (int, float) and abs(value) <= MAX_BIAS for value in bias.values()):
        raise ValueError(f"every value must be a number from -{MAX_BIAS} to {MAX_BIAS}")
    return {int(key): float(value) for key, value in bias.items()}


LogitBias = Annotated[
    dict[int, float], BeforeValidator(_as_token_ids, json_schema_input_type=dict[str, float])
]


class StreamOptions(Strict):
    """What a stream carries beside its deltas."""

    include_usage: bool = False


class TextFormat(Strict):
    """Free text."""

    type: Literal["text"]


class JsonObjectFormat(Strict):
    """Any JSON object."""

    type: Literal["json_object"]


class NamedSchema(Strict):
    """A JSON Schema and the name that the caller gives it."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = None
    json_schema: dict[str, JsonValue] = Field(alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(Strict):
    """JSON that the grammar forces to fit a schema; always strict, whatever `strict` says."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


ServiceTier = Literal["default", "flex", "priority"]


ResponseFormat = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]


class ChatCompletionRequest(Strict):
    """Body of `POST /v1/chat/completions`."""

    model: str = Field(min_length=1, max_length=256)
    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1, lt=2**31)
    max_completion_tokens: int | None = Field(None, ge=1, lt=2**31)
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, lt=2**31)
    min_p: float = Field(0.0, ge=0, le=1)
    repeat_penalty: float = Field(1.0, ge=0.5, le=2)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    n: int | None = Field(None, ge=1, le=MAX_ANSWERS)
    logit_bias: LogitBias | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None
    tools: list[FunctionTool] | None = Field(None, min_length=1, max_length=MAX_TOOLS)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "ChatCompletionRequest":
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("max_tokens and max_completion_tokens exclude each other")
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        if self.logprobs and not isinstance(self.response_format, TextFormat | None):
            raise ValueError("logprobs and a response_format of JSON exclude each other")
        if self.logprobs and self.structured_outputs is not None:
            raise ValueError("logprobs and structured_outputs exclude each other")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        if len(self.stop_strings) > MAX_STOP_STRINGS or "" in self.stop_strings:
            raise ValueError(f"stop takes at most {MAX_STOP_STRINGS} strings, none of them empty")
        return self

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """`stop` in one form."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def answer_tokens(self) -> int | None:
        """The answer's limit under either of its names, in tokens."""
        return self.max_completion_tokens if self.max_tokens is None else self.max_tokens


class PromptTokensDetails(BaseModel):
    """How many of the prompt's tokens were not computed anew."""

    cached_tokens: int


class Usage(BaseModel):
    """Token counts of one request: its prompt once, and all of its answers."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class TopLogprob(BaseModel):
    """A token and its natural log-probability, -9999 at the least; `bytes` may be part of a character."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    """A token of the answer, and the likeliest ones at its place."""

    top_logprobs: list[TopLogprob]


class ChoiceLogprobs(BaseModel):
    """The tokens of an answer as the weights wrote them: with pseudonyms, and with the stop string if any."""

    content: list[TokenLogprob]
    refusal: None = None


class AnswerMessage(BaseModel):
    """What the model said."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class CallingMessage(BaseModel):
    """What the model said, and the tools that it calls."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    tool_calls: list[ToolCall]


class Choice(BaseModel):
    """One answer."""

    index: int
    message: AnswerMessage | CallingMessage
    finish_reason: Literal["stop", "length", "tool_calls"]
    logprobs: ChoiceLogprobs | None


class ChatCompletion(BaseModel):
    """Answer of `POST /v1/chat/completions` without `stream`."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    service_tier: ServiceTier
    choices: list[Choice]
    usage: Usage


class Model(BaseModel):
    """One entry of `GET /v1/models`: loaded weights."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "infirmary"
    context_tokens: int
    digest: str


class ModelList(BaseModel):
    """Answer of `GET /v1/models`."""

    object: Literal["list"] = "list"
    data: list[Model]
