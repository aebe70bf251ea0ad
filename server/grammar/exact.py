"""What llguidance takes and does not force exactly: rewritten where that is possible, else refused by name.

llguidance 1.9 refuses most of what it cannot force. The rest stands here, each with the document that it
would let through; `bench/soundness.py` looks for more.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from server.errors import InvalidGrammar
from server.grammar.subschemas import OF_MANY, OF_NAMES, OF_ONE, subschemas

_LEAP_YEAR = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_YEAR = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_DAY = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_DATE = rf"(?:{_YEAR}-{_DAY}|{_LEAP_YEAR}-02-29)"
_TIME = (
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)

FORMATS = {"date": _DATE, "time": _TIME, "date-time": f"{_DATE}T{_TIME}"}
"""RFC 3339 without leap seconds and the year 0, which validators refuse: 2023-02-29 is no date."""


def exactly(schema: Any) -> Any:
    """`schema` such that whatever llguidance lets through fits the one given.

    Raises InvalidGrammar, naming keyword and place, for what can neither be forced nor rewritten.
    """
    for place, part in subschemas(schema):
        for keyword, problem in _PROBLEMS.items():
            reason = problem(part[keyword], part) if keyword in part else None
            if reason:
                raise InvalidGrammar(f"{place}/{keyword} cannot be forced: {reason}")
    return _rewritten(schema)


def _rewritten(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    changed = {keyword: _below(keyword, value) for keyword, value in schema.items()}
    expression = FORMATS.get(changed["format"]) if isinstance(changed.get("format"), str) else None
    if expression is None:
        return changed
    del changed["format"]
    return changed | {"allOf": [*changed.get("allOf", []), {"pattern": f"^{expression}$"}]}


def _below(keyword: str, value: Any) -> Any:
    if keyword in OF_NAMES and isinstance(value, Mapping):
        return {name: _rewritten(part) for name, part in value.items()}
    if keyword in OF_MANY and isinstance(value, list):
        return [_rewritten(part) for part in value]
    return _rewritten(value) if keyword in OF_ONE else value


def _is_no_binary_fraction(value: Any, _: Mapping[str, Any]) -> str | None:
    """0.3 is a multiple of 0.1, and for a validator that counts in binary it is not."""
    if not isinstance(value, float) or value <= 0:
        return None
    parts = Fraction(repr(value)).denominator
    return "validators count in binary, where this fraction is not exact" if parts & (parts - 1) else None


def _counts_names_twice(value: Any, schema: Mapping[str, Any]) -> str | None:
    """{"x":1,"x":2} has one property: names that are free to choose may come again."""
    required = schema.get("required")
    named = len(set(map(str, required))) if isinstance(required, list) else 0
    if not isinstance(value, int | float) or value <= named + 1:
        return None
    free = schema.get("additionalProperties") is not False or schema.get("patternProperties")
    return "the same name could be written twice" if free else None


_PROBLEMS: dict[str, Callable[[Any, Mapping[str, Any]], str | None]] = {
    "multipleOf": _is_no_binary_fraction,
    "minProperties": _counts_names_twice,
}
