"""Output types beyond JSON Schema, by the names that vLLM documents under `structured_outputs`.

Source: vLLM's documentation, structured outputs. Of its names those are declared that are honoured here.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, JsonValue, model_validator
from pydantic_core import from_json

from schemas.base import Strict

MAX_CHOICES = 10_000


def _parsed(schema: Any) -> Any:
    if not isinstance(schema, str):
        return schema
    try:
        return from_json(schema, allow_inf_nan=False)
    except ValueError:
        raise ValueError("a JSON Schema is expected, as an object or as its text") from None


JsonSchema = Annotated[
    dict[str, JsonValue],
    BeforeValidator(_parsed, json_schema_input_type=str | dict[str, JsonValue]),
]


class StructuredOutputs(Strict):
    """What an answer has to be: exactly one of these."""

    json_schema: JsonSchema | None = Field(None, alias="json", description="A JSON Schema.")
    regex: str | None = Field(None, min_length=1, description="Rust's dialect, without look-around.")
    choice: list[str] | None = Field(
        None, min_length=1, max_length=MAX_CHOICES, description="Texts of which the answer is one."
    )
    grammar: str | None = Field(None, min_length=1, description="Lark, in llguidance's dialect.")
    json_object: bool | None = Field(None, description="True: any JSON object.")

    @model_validator(mode="after")
    def _exactly_one(self) -> "StructuredOutputs":
        given = [self.json_schema, self.regex, self.choice, self.grammar, self.json_object]
        if sum(each is not None for each in given) != 1:
            raise ValueError("exactly one of json, regex, choice, grammar and json_object is expected")
        if self.json_object is False:
            raise ValueError("json_object can only be true")
        return self
