"""Refusals, by what they name: the keyword of JSON Schema, and where in the schema it stands."""

import re

_KEYWORDS = frozenset(
    {
        *("$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$recursiveAnchor", "$recursiveRef", "$ref"),
        *("$schema", "id", "x-guidance", "type", "const", "enum", "format", "pattern"),
        *("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "extends", "disallow"),
        *("minLength", "maxLength", "contentEncoding", "contentMediaType", "contentSchema"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "divisibleBy"),
        *("items", "prefixItems", "additionalItems", "unevaluatedItems", "minItems", "maxItems"),
        *("uniqueItems", "contains", "minContains", "maxContains"),
        *("properties", "patternProperties", "additionalProperties", "unevaluatedProperties"),
        *("propertyNames", "required", "minProperties", "maxProperties"),
        *("dependencies", "dependentRequired", "dependentSchemas"),
    }
)
# Words that are also English: only said to be meant where nothing else is named.
_ENGLISH = ("format", "pattern", "enum", "const", "required")
_QUOTED = re.compile(r"""['"`]([$\w-]+)['"`]""")
_WORD = re.compile(r"\$?[a-zA-Z]+")
_PLACE = re.compile(r"#(?:/[^\s:,]*)?(?=[\s:,]|$)|\$(?:[.\[][^\s:,]*)")
_LONGEST = 60


def keyword(message: str) -> str:
    """What a refusal names: a quoted keyword, the end of its place, a bare keyword, else its words."""
    said = _PLACE.sub(" ", message, count=1)
    last = re.split(r"[/.]", place(message))[-1]
    words = _WORD.findall(said)
    candidates = [
        *_QUOTED.findall(said),
        last,
        *(word for word in words if not word.islower()),
        *(word for word in words if word in _ENGLISH),
    ]
    found = next((word for word in candidates if word in _KEYWORDS), None)
    return found or re.sub(r"\d+", "0", " ".join(words))[:_LONGEST] or "no reason given"


def place(message: str) -> str:
    """The JSON pointer or path that a refusal names; empty where it names none."""
    found = _PLACE.search(message)
    return found.group() if found else ""
