"""What a clinical task is: shapes, prompt, limits."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from server.inference.request import Message


@dataclass(frozen=True)
class Example:
    """A worked example: an invented note and the document that answers it."""

    note: str
    answer: BaseModel


@dataclass(frozen=True)
class Task:
    """One question that can be asked of a note.

    The model writes `draft`, whose marked strings are verbatim from the note; `answer` is what the caller
    gets: the same fields, each `evidence` located in the caller's own text, and the provenance.
    """

    name: str
    title: str
    schema_version: str
    draft: type[BaseModel]
    answer: type[BaseModel]
    instruction: str
    examples: tuple[Example, ...]
    max_tokens: int
    weights: str = "auto"

    @cached_property
    def draft_schema(self) -> Mapping[str, Any]:
        """JSON Schema of `draft`."""
        return self.draft.model_json_schema()

    @cached_property
    def prompt_hash(self) -> str:
        """SHA-256 over all that operators wrote: instruction and worked examples."""
        text = "\0".join(f"{message.role}\0{message.text}" for message in self.preamble)
        return hashlib.sha256(text.encode()).hexdigest()

    def messages(self, note: str) -> tuple[Message, ...]:
        """The conversation that asks this task of `note`; only the note is the caller's."""
        return (*self.preamble, Message("user", note))

    @cached_property
    def preamble(self) -> tuple[Message, ...]:
        """What operators wrote before the note: the instruction and the worked examples."""
        turns = [Message("system", self.instruction, from_caller=False)]
        for example in self.examples:
            turns.append(Message("user", example.note, from_caller=False))
            turns.append(Message("assistant", _compact(example.answer), from_caller=False))
        return tuple(turns)


def _compact(document: BaseModel) -> str:
    """As the grammar would have it written."""
    return json.dumps(
        document.model_dump(mode="json", exclude_none=True), ensure_ascii=False, separators=(",", ":")
    )
