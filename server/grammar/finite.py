"""Whether a JSON Schema has a document that ends.

A schema that requires itself compiles, and then forces an answer without end.
"""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def has_finite_document(schema: Any, root: Schema, visiting: frozenset[str] = frozenset()) -> bool:
    """Follow what is required; `visiting` are the `#`-references that lead here, the only ones followed."""
    if not isinstance(schema, Mapping):
        return schema is not False
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        if reference in visiting:
            return False
        if not has_finite_document(_resolved(reference, root), root, visiting | {reference}):
            return False
    return all(
        any(has_finite_document(part, root, visiting) for part in choices)
        for choices in _required_parts(schema)
    )


def _required_parts(schema: Schema) -> list[list[Any]]:
    """What any document of `schema` holds: of each list at least one."""
    parts = [[part] for part in schema.get("allOf", ())]
    parts += [schema[key] for key in ("anyOf", "oneOf") if schema.get(key)]
    if schema.get("type", "object") == "object":
        properties = schema.get("properties", {})
        parts += [[properties[name]] for name in schema.get("required", ()) if name in properties]
    if schema.get("type", "array") == "array" and schema.get("minItems", 0) > 0 and "items" in schema:
        parts.append([schema["items"]])
    return parts


def _resolved(reference: str, root: Schema) -> Any:
    """The part of `root` that a JSON pointer names; what does not exist is left to the compiler to refuse."""
    part: Any = root
    for step in reference.lstrip("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(part, Mapping) or name not in part:
            return True
        part = part[name]
    return part
