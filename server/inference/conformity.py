"""Whether an answer still is what was asked for once identities stand in it.

The grammar forces what the model writes, with pseudonyms. A name in the place of one may be longer than
`maxLength`, or no match of a `pattern`.
"""

import asyncio
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from json.encoder import encode_basestring
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from server.errors import InvalidOutput
from server.grammar.acceptance import accepts
from server.grammar.compiler import Grammar, compile_json_schema

_LONGEST_RULE = 200
# The last three: keywords of an older draft, which jsonschema reads as those of the newest.
_UNCHECKABLE = (ValueError, RecursionError, re.error, Unresolvable, AttributeError, LookupError, TypeError)


class Conformity:
    """Both forms of one answer. Only what restoring has changed needs to be looked at."""

    def __init__(self, check: Callable[[str], None]) -> None:
        """`check` takes a restored answer and raises InvalidOutput where it does not conform."""
        self._check = check
        self._written: list[str] = []
        self._restored: list[str] = []

    def add(self, written: str, restored: str) -> None:
        """A further piece as the model wrote it, and what of the answer is known with it."""
        self._written.append(written)
        self._restored.append(restored)

    async def verify(self) -> None:
        """Call at the end of a whole answer; raises InvalidOutput."""
        restored = "".join(self._restored)
        if restored != "".join(self._written):
            await asyncio.to_thread(self._check, restored)


def check_document(text: str, schema: Mapping[str, Any]) -> None:
    """Raise InvalidOutput where `text` is no JSON document of `schema`."""
    try:
        fault = next(iter(_validator(schema).iter_errors(json.loads(text))), None)
    except _UNCHECKABLE as error:
        reason = type(error).__name__
        raise InvalidOutput(f"the restored answer cannot be held against the schema: {reason}") from None
    if fault is not None:
        rule = ".".join(map(str, fault.absolute_schema_path))[:_LONGEST_RULE]
        raise InvalidOutput(f"with identities restored, the answer breaks the schema's rule '{rule}'")


def _validator(schema: Mapping[str, Any]) -> Any:
    """`pattern` is checked in the dialect in which it was forced, not in Python's; nothing is fetched."""
    grammar_of = functools.cache(_grammar_of)

    def check_pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[ValidationError]:
        if isinstance(instance, str) and not accepts(grammar_of(pattern), encode_basestring(instance)):
            yield ValidationError("no match")

    known = validator_for(schema, default=Draft202012Validator)
    extended: Any = extend(known, {"pattern": check_pattern})  # type: ignore[no-untyped-call]  # jsonschema's
    return extended(schema, registry=Registry())


def _grammar_of(pattern: str) -> Grammar:
    return compile_json_schema({"type": "string", "pattern": pattern})
