"""Whether a document is what its schema says, by the `jsonschema` library, and if not, by which keyword.

The validator is that of the draft that `$schema` names, Draft 2020-12 where it names none. Formats are
judged by jsonschema's FormatChecker, those of `FORMATS` alone; patterns are searched with Python's `re`.
References lead nowhere but into the schema and the meta-schemas.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import validator_for
from jsonschema_specifications import REGISTRY

FORMATS = ("date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid")
_LONGEST_SHOWN = 300


class CannotJudge(Exception):
    """The validator knows no answer: the schema is none of its draft, or uses what the validator has not."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a document; `keyword` is the schema's, `place` where in the schema it stands."""

    keyword: str
    place: str
    document: str


def _known() -> dict[str, Any]:
    # Those that a bare FormatChecker has mix the drafts: its `time` is that of draft 3.
    return Draft202012Validator.FORMAT_CHECKER.checkers


def judged_formats() -> tuple[str, ...]:
    """Those of `FORMATS` that the installed packages can judge."""
    return tuple(name for name in FORMATS if name in _known())


class Judge:
    """A schema's validator."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises CannotJudge where the schema is not one of its draft."""
        kind = validator_for(schema, default=Draft202012Validator)
        try:
            kind.check_schema(schema)
        except SchemaError as error:
            raise CannotJudge(f"no schema of its draft: {error.validator}") from error
        except Exception as error:
            raise CannotJudge(type(error).__name__) from error
        checker = FormatChecker(())
        checker.checkers = {name: _known()[name] for name in judged_formats()}
        self._validator = kind(schema, format_checker=checker, registry=REGISTRY)

    def fault(self, value: Any, shown: str) -> Fault | None:
        """The first thing that is wrong with `value`; raises CannotJudge."""
        try:
            error = next(self._validator.iter_errors(value), None)
        except Exception as error:  # the library raises whatever a pattern or a reference makes it raise
            raise CannotJudge(type(error).__name__) from error
        return _fault(error, shown) if error else None


@dataclass(frozen=True)
class Document:
    """A parsed document: its value, keys that an object has twice, whether a number is beyond a double."""

    value: Any
    duplicates: tuple[str, ...]
    overflows: bool


def parsed(document: bytes) -> Document:
    """Raises ValueError where it is no JSON."""
    duplicates: list[str] = []
    overflows: list[str] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        duplicates.extend(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        return dict(pairs)

    def number(text: str) -> float:
        value = float(text)
        if value in (float("inf"), float("-inf")):
            overflows.append(text)
        return value

    def refused(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    text = document.decode("utf-8")
    value = json.loads(text, object_pairs_hook=members, parse_float=number, parse_constant=refused)
    return Document(value, tuple(duplicates), bool(overflows))


def shown(document: bytes) -> str:
    """The beginning of a document, for a report."""
    text = document.decode("utf-8", errors="replace")
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _fault(error: ValidationError, document: str) -> Fault:
    """The deepest reason: of alternatives, that of the one that came nearest."""
    while error.context:
        error = max(error.context, key=lambda each: len(each.absolute_path))
    keyword = str(error.validator)
    if keyword == "format":
        keyword = f"format {error.validator_value}"
    place = "/".join(map(str, error.absolute_schema_path))
    return Fault(keyword, place, document)
