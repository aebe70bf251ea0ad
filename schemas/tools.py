"""Tools and their calls in OpenAI's shapes: what callers offer and send back, and what they are told.

Source: the OpenAI API reference, chat completions.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, JsonValue

from schemas.base import Strict

MAX_TOOLS = 128
NAME_PATTERN = r"^[a-zA-Z0-9_-]{1,64}$"


class FunctionDefinition(Strict):
    """A function that the model may call; always strict, whatever `strict` says."""

    name: str = Field(pattern=NAME_PATTERN)
    description: str | None = None
    parameters: dict[str, JsonValue] | None = None
    strict: bool | None = None


class FunctionTool(Strict):
    """One entry of `tools`; other kinds of tool are refused."""

    type: Literal["function"]
    function: FunctionDefinition


class ToolMode(Strict):
    """Whether the model may or must call tools."""

    type: Literal["none", "auto", "required"]


class FunctionName(Strict):
    """Names one of the tools."""

    name: str = Field(pattern=NAME_PATTERN)


class NamedTool(Strict):
    """The one tool that must be called."""

    type: Literal["function"]
    function: FunctionName


def _as_object(choice: Any) -> Any:
    if isinstance(choice, str):
        return {"type": choice}
    if isinstance(choice, dict) and choice.get("type") == "function":
        return choice
    raise ValueError("'none', 'auto', 'required' or the name of a function is expected")


ToolChoice = Annotated[
    ToolMode | NamedTool,
    Field(discriminator="type"),
    BeforeValidator(_as_object, json_schema_input_type=Literal["none", "auto", "required"] | NamedTool),
]


class SentFunctionCall(Strict):
    """What was called; `arguments` is the JSON text of an object.

    `parsed_arguments` is what OpenAI's Python client adds to it, and sends back: `arguments` once more.
    """

    name: str = Field(pattern=NAME_PATTERN)
    arguments: str
    parsed_arguments: JsonValue = None


class SentToolCall(Strict):
    """A call that the client sends back. `index` is what clients that gather streams leave in it."""

    id: str = Field(min_length=1, max_length=256)
    type: Literal["function"]
    function: SentFunctionCall
    index: int | None = Field(None, ge=0)


class FunctionCall(BaseModel):
    """The function to call; `arguments` is JSON that fits its parameters."""

    name: str
    arguments: str


class ToolCall(BaseModel):
    """A call that the model makes."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall
