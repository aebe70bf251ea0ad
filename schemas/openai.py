"""The OpenAI-compatible shapes that `/v1/chat/completions` and `/v1/models` speak.

Source: the OpenAI API reference, chat completions. What is not declared here is refused by name.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, JsonValue, model_validator

from schemas.base import Strict

MAX_STOP_STRINGS = 16


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
    """One turn. The null fields are those that clients send back with an answer they were given."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    refusal: None = None
    audio: None = None
    function_call: None = None
    tool_calls: None = None

    @property
    def text(self) -> str:
        """The parts' texts, joined without anything between them."""
        return "".join(part.text for part in self.content)


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
    n: Literal[1] | None = None
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "ChatCompletionRequest":
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("max_tokens and max_completion_tokens exclude each other")
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


class Usage(BaseModel):
    """Token counts of one answer."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(BaseModel):
    """What the model said."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    """The one answer."""

    index: Literal[0] = 0
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


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


class Delta(BaseModel):
    """What one chunk adds; absent fields are not sent."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    """The one answer's part of a chunk."""

    index: Literal[0] = 0
    delta: Delta
    finish_reason: Literal["stop", "length"] | None = None


class ChatCompletionChunk(BaseModel):
    """One server-sent event of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    service_tier: ServiceTier
    choices: list[ChunkChoice]
    usage: Usage | None = None


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
