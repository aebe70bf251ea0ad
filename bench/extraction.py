"""What the extraction rows ask for: one instruction, one JSON Schema, and what counts as its document.

Every string and every list of the schema is bounded, so that a document ends well before `MAX_TOKENS`, unless
a server fills it with blanks. llama-server's grammar allows them and Infirmary's does not, so what is asked
comes in two forms: with and without a word about blanks.
"""

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

MAX_TOKENS = 1024

_INSTRUCTION = (
    "You read one clinical note and write what it says as one JSON document. List each medicine once, with "
    "the dose and the unit as they are written, how often it is taken, by which route, and whether it is "
    "active, stopped, on hold or planned. List each problem or finding once, with whether it is present, "
    "absent or suspected, and since when. What the note does not say is null. Write nothing that is not in "
    "the note, no explanation, and no more than the most important items."
)
_COMPACT = 'Write the document on one line without any blanks between its parts, like {"medications":[],...}.'


def _text(longest: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": longest}


def _maybe(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _choice(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_MEDICATION = _object(
    name=_text(32),
    dose=_maybe(_text(8)),
    unit=_maybe(_choice("mg", "g", "mcg", "ml", "units")),
    frequency=_maybe(_choice("once daily", "twice daily", "three times daily", "as needed", "once")),
    route=_maybe(_choice("oral", "intravenous", "subcutaneous", "inhaled", "topical")),
    status=_choice("active", "stopped", "on hold", "planned"),
)
_PROBLEM = _object(
    name=_text(48),
    status=_choice("present", "absent", "suspected"),
    since=_maybe(_text(24)),
)
SCHEMA = _object(
    medications={"type": "array", "items": _MEDICATION, "maxItems": 4},
    problems={"type": "array", "items": _PROBLEM, "maxItems": 4},
    follow_up=_maybe(_text(60)),
)
RESPONSE_FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "clinical_extraction", "schema": SCHEMA, "strict": True},
}


def messages(note: str, *, compact: bool) -> list[dict[str, str]]:
    """The conversation about one note; `compact` asks for a document without blanks."""
    instruction = f"{_INSTRUCTION} {_COMPACT}" if compact else _INSTRUCTION
    return [{"role": "system", "content": instruction}, {"role": "user", "content": note}]


def is_document(text: str, schema: Mapping[str, Any]) -> bool:
    """Whether `text` is one whole JSON document that fits `schema`."""
    try:
        document = json.loads(text)
    except ValueError:
        return False
    return Draft202012Validator(schema).is_valid(document)
