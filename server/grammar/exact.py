"""What llguidance takes and does not force exactly: rewritten where that is possible, else refused by name.

llguidance 1.9 refuses most of what it cannot force. The rest stands here and in the modules it names, each
with what would be let through; `bench/soundness.py` looks for more.
"""

from collections.abc import Callable, Mapping
from typing import Any

from server.errors import InvalidGrammar
from server.grammar.calendar import FORMATS
from server.grammar.numbers import inexact, no_multiple, too_many_multiples, with_safe_bounds
from server.grammar.patterns import ASCII_ONLY, is_wider_for_names, needs_ascii, problem_of, without_controls
from server.grammar.subschemas import OF_MANY, OF_NAMES, OF_ONE, subschemas

_LONGEST_HOSTNAME = 253
_APPLICATORS = frozenset({"allOf", "anyOf", "oneOf", "$ref", "const", "enum"})

Problem = Callable[[Any, Mapping[str, Any]], str | None]


def exactly(schema: Any) -> Any:
    """`schema` such that whatever llguidance lets through fits the one given.

    Raises InvalidGrammar, naming keyword and place, for what can neither be forced nor rewritten.
    """
    draft = _draft(schema) if isinstance(schema, Mapping) else ""
    for place, part in subschemas(schema):
        _check(place, part)
        if ("$schema" in part and _draft(part) != draft) or "draft-03" in draft:
            raise InvalidGrammar(f"{place}/$schema: one draft from 04 on holds for the whole schema")
    exact = _rewritten(schema)
    if too_many_multiples(part.get("multipleOf") for _, part in subschemas(exact)):
        raise InvalidGrammar("#: the values of multipleOf have too large a common multiple to be forced")
    return exact


def check_patterns(schema: Any) -> None:
    """Raises InvalidGrammar for a pattern that dialects read differently. The schema need not be one yet."""
    for place, part in subschemas(schema):
        names = part.get("patternProperties")
        for keyword, patterns in (
            ("pattern", [part.get("pattern", "")]),
            ("patternProperties", names if isinstance(names, Mapping) else ()),
        ):
            for reason in filter(None, map(problem_of, patterns)):
                raise InvalidGrammar(f"{place}/{keyword} cannot be forced: {reason}")


def _check(place: str, part: Mapping[str, Any]) -> None:
    for keyword, problem in _PROBLEMS.items():
        reason = problem(part[keyword], part) if keyword in part else None
        if reason:
            raise InvalidGrammar(f"{place}/{keyword} cannot be forced: {reason}")


def _draft(schema: Mapping[str, Any]) -> str:
    return str(schema.get("$schema", "")).rstrip("#")


def _rewritten(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    changed = {keyword: _below(keyword, value) for keyword, value in schema.items()}
    more: list[dict[str, Any]] = []
    if isinstance(schema.get("pattern"), str):
        changed["pattern"] = without_controls(schema["pattern"])
        more += [{"pattern": ASCII_ONLY}] if needs_ascii(schema["pattern"]) else []
    named = changed.get("format")
    if isinstance(named, str) and named in FORMATS:
        del changed["format"]
        more.append({"pattern": f"^(?:{FORMATS[named]})$"})
    elif named == "hostname":
        more.append({"maxLength": _LONGEST_HOSTNAME})
    if more:
        changed["allOf"] = [*changed.get("allOf", []), *more]
    if any(map(is_wider_for_names, changed.get("patternProperties", ()))):
        changed["additionalProperties"] = False
    return with_safe_bounds(changed)


def _below(keyword: str, value: Any) -> Any:
    if keyword in OF_NAMES and isinstance(value, Mapping):
        written = without_controls if keyword == "patternProperties" else str
        return {written(name): _rewritten(part) for name, part in value.items()}
    if keyword in OF_MANY and isinstance(value, list):
        return [_rewritten(part) for part in value]
    return _rewritten(value) if keyword in OF_ONE else value


def _counts_names_twice(value: Any, schema: Mapping[str, Any]) -> str | None:
    """{"x":1,"x":2} has one property: names that are free to choose may come again."""
    required = schema.get("required")
    named = len(set(map(str, required))) if isinstance(required, list) else 0
    if not isinstance(value, int | float) or value <= named + 1:
        return None
    free = schema.get("additionalProperties") is not False or schema.get("patternProperties")
    return "the same name could be written twice" if free else None


def _bound(value: Any, schema: Mapping[str, Any]) -> str | None:
    try:
        with_safe_bounds(schema)
    except ValueError as error:
        return str(error)
    return inexact(value)


def _names(value: Any, _: Mapping[str, Any]) -> str | None:
    for pattern in value if isinstance(value, Mapping) else ():
        problem = problem_of(pattern) or (
            "\\D and \\W differ between dialects" if needs_ascii(pattern) else None
        )
        if problem:
            return problem
    return None


def _items(_: Any, schema: Mapping[str, Any]) -> str | None:
    """With `additionalItems`, llguidance overlooks prefixItems, and items where an applicator parts them."""
    beside = sorted(schema.keys() & {"prefixItems", *_APPLICATORS})
    return f"it is not seen together with {beside[0]}" if beside else None


_PROBLEMS: dict[str, Problem] = {
    "patternProperties": _names,
    "format": lambda value, _: "no such format is known" if value == "unknown" else None,
    "additionalItems": _items,
    "minProperties": _counts_names_twice,
    "multipleOf": lambda value, _: no_multiple(value),
    "const": lambda value, _: inexact(value),
    "enum": lambda value, _: inexact(value),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _bound),
}
