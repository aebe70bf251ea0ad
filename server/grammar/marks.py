"""Marks on the fields of an output type: which text, or which code system, they are taken from.

They travel as extension keywords of the JSON Schema, so that they survive Outlines and Pydantic.
"""

from typing import Any

from pydantic import Field

QUOTE_OF = "x-quote-of"
VALUE_OF = "x-value-of"
MAX_WORDS = "x-max-words"
WITHOUT = "x-without"
CODE_IN = "x-code-in"

OPERATORS_MARKS = frozenset({QUOTE_OF, VALUE_OF, MAX_WORDS, WITHOUT, CODE_IN})
"""What a task of the catalogue may be marked with."""
CALLERS_MARKS = frozenset({QUOTE_OF, MAX_WORDS, CODE_IN})
"""What a caller's schema may be marked with: patterns of others could keep Python's `re` busy for hours."""

DEFAULT_WORDS = 32
MOST_WORDS = 128

ANNOTATIONS = frozenset({"$schema", "title", "description", "$comment", "examples", "default", "deprecated"})
"""Keywords of JSON Schema that constrain nothing."""
LITERALS = frozenset({"enum", "const"})
DEFINITIONS = frozenset({"$defs", "definitions"})
PROPERTY_MAPS = frozenset({"properties", "patternProperties", "dependentSchemas", *DEFINITIONS})
"""Keywords whose object has names for its keys, not keywords."""


def quote_of(source: str, *, max_words: int, without: str | None = None) -> Any:
    """A verbatim run of at most `max_words` words of `source`, over none that the pattern `without` finds."""
    return Field(json_schema_extra={QUOTE_OF: source, MAX_WORDS: max_words, WITHOUT: without})


def value_of(source: str, pattern: str) -> Any:
    """One of the texts that `pattern` (Python's dialect) finds in `source`."""
    return Field(json_schema_extra={VALUE_OF: source, "pattern": pattern})


def code_in(system: str) -> Any:
    """One of the codes of `system`, which the operator must have loaded."""
    return Field(json_schema_extra={CODE_IN: system})
