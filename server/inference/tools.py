"""Tools: what a caller lets the model call and what was called before, as the model may see them."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.errors import InvalidGrammar, InvalidRequest
from server.grammar.compiler import Grammar
from server.grammar.tool_calls import CallSyntax, compile_tool_calls
from server.inference.constraint import SchemaConstraint
from server.inference.leaves import leaves, mapped, strings
from server.privacy.pseudonyms import PseudonymizedText

Seen = Mapping[str, str]
"""Texts of the caller, and each as the model sees it."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that was made earlier; `arguments` is the JSON text of an object."""

    id: str
    name: str
    arguments: str

    @property
    def texts(self) -> Iterator[str]:
        """What is de-identified: the name, each value, and all of them for what one tells of another."""
        yield self.name
        yield self.arguments
        yield from filter(None, map(_as_text, leaves(json.loads(self.arguments))))

    def as_seen(self, seen: Seen) -> "ToolCall":
        """The call as the model may see it; a number that identifies somebody becomes a string."""

        def replaced(leaf: Any) -> Any:
            text = _as_text(leaf)
            return leaf if not text or seen[text] == text else seen[text]

        arguments = mapped(json.loads(self.arguments), replaced)
        return ToolCall(self.id, seen[self.name], _compact(arguments))


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters` is the JSON Schema of an object."""

    name: str
    description: str | None
    parameters: Mapping[str, Any]

    @property
    def words(self) -> str:
        """The name as words: within a name, what identifies somebody may not be found."""
        return re.sub(r"[_-]+|(?<=[a-z])(?=[A-Z])", " ", self.name)

    @property
    def shape(self) -> dict[str, Any]:
        """As chat templates know it: in OpenAI's shape."""
        described = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {
            "type": "function",
            "function": {key: value for key, value in described.items() if value is not None},
        }


@dataclass(frozen=True, slots=True)
class Tools:
    """What may be called: at most `most_calls` times, `only` one of them where it is named."""

    tools: tuple[Tool, ...]
    required: bool = False
    only: str | None = None
    most_calls: int = 1

    @property
    def texts(self) -> Iterator[str]:
        """What is de-identified: every string of the definitions."""
        return (text for tool in self.tools for text in (tool.words, *strings(tool.shape)))

    def shapes(self, seen: Seen) -> list[dict[str, Any]]:
        """The definitions as the model may see them; raises InvalidRequest on a name with an identifier."""
        for number, tool in enumerate(self.tools):
            if any(seen[text] != text for text in (tool.name, tool.words)):
                raise InvalidRequest(f"tools.{number}: the name holds an identifier", param="tools")
        return [
            mapped(tool.shape, lambda leaf: seen[leaf] if isinstance(leaf, str) else leaf)
            for tool in self.tools
        ]

    def compile(
        self,
        texts: Sequence[PseudonymizedText],
        messages: Sequence[PseudonymizedText],
        syntax: CallSyntax,
    ) -> Grammar:
        """The grammar of an answer with calls, given `texts` and the messages as the model sees them.

        Raises InvalidGrammar naming a tool whose arguments cannot be forced.
        """
        arguments = {}
        for number, tool in enumerate(self.tools):
            try:
                arguments[tool.name] = SchemaConstraint(tool.parameters).compile(texts, messages)
            except InvalidGrammar as error:
                message = f"tools.{number}: the parameters of '{tool.name}': {error.message}"
                raise InvalidGrammar(message, param="tools") from None
        if self.only is not None:
            arguments = {self.only: arguments[self.only]}
        return compile_tool_calls(syntax, arguments, required=self.required, most_calls=self.most_calls)

    def check(self, name: str, arguments: str) -> None:
        """Raise InvalidOutput where restored `arguments` of the tool `name` do not fit its parameters."""
        [tool] = (tool for tool in self.tools if tool.name == name)
        SchemaConstraint(tool.parameters).check(arguments)


def seen_of(texts: Sequence[PseudonymizedText]) -> Seen:
    """What the model sees for each of `texts`."""
    return {text.original: text.text for text in texts}


def spelled_of(texts: Sequence[PseudonymizedText]) -> Seen:
    """What the model sees where it comes back to the letter, as grammars have it."""
    return {text.original: text.spelled for text in texts}


def _compact(value: Any) -> str:
    """As the grammar makes the model write it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _as_text(leaf: Any) -> str | None:
    """What of a scalar may be an identifier: a string, or a number's digits."""
    if isinstance(leaf, str):
        return leaf
    return None if isinstance(leaf, bool) or leaf is None else json.dumps(leaf)
