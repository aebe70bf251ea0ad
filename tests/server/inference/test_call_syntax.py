"""Templates of our own, after the manner of those that weights come with."""

from collections.abc import Callable
from typing import Any

import pytest
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from server.grammar.tool_calls import HERMES, CallSyntax
from server.inference.call_syntax import detect, takes_system, to_json, with_tokens

LISTED = "{% if tools %}[tools]{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif %}"
TURNS = "{% for each in messages %}[{{ each.role }}]{{ each.content }}{% endfor %}[assistant]"
HERMES_LIKE = (
    LISTED
    + "{% for each in messages %}[{{ each.role }}]{{ each.content }}"
    + "{% for call in each.tool_calls %}{{ '\\n<tool_call>\\n' }}"
    + '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    + "{{ '\\n</tool_call>' }}{% endfor %}{% endfor %}[assistant]"
)
LLAMA_LIKE = (
    "{% for each in messages %}"
    + "{% if tools and loop.first %}[tools]{{ tools[0] | tojson(indent=4) }}{% endif %}"
    + "{% if 'tool_calls' in each %}[assistant]"
    + "{% if each.tool_calls | length != 1 %}{{ raise_exception('one call only') }}{% endif %}"
    + '{"name": "{{ each.tool_calls[0].function.name }}", '
    + '"parameters": {{ each.tool_calls[0].function.arguments | tojson }}}[end]'
    + "{% else %}[{{ each.role }}]{{ each.content | tojson if each.role == 'tool' else each.content }}[end]"
    + "{% endif %}{% endfor %}[assistant]"
)


def refuse(message: str) -> None:
    raise TemplateError(message)


def rendering(source: str) -> Callable[..., str]:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse

    def render(turns: Any, tools: Any) -> str:
        try:
            return environment.from_string(source).render(messages=turns, tools=tools or None)
        except TemplateError as error:
            raise ValueError(str(error)) from error

    return render


def test_the_syntax_of_hermes_is_read_with_its_blanks():
    assert detect(rendering(HERMES_LIKE)) == CallSyntax(
        opening='<tool_call>\n{"name": "',
        middle='", "arguments": ',
        closing="}\n</tool_call>",
        separator="\n",
        marker="<tool_call>",
    )


def test_the_syntax_of_llama_is_bare_json():
    assert detect(rendering(LLAMA_LIKE)) == CallSyntax(
        opening='{"name": "', middle='", "parameters": ', closing="}"
    )


@pytest.mark.parametrize(
    "source",
    [
        TURNS,
        LISTED + TURNS,
        LISTED + "{{ raise_exception('roles must alternate') }}",
        HERMES_LIKE.replace("{% if tools %}", "{% if false %}"),
        HERMES_LIKE.replace('"name"', '"tool"'),
        HERMES_LIKE.replace('{"name": "', "<function=").replace('", "arguments": ', ">"),
        HERMES_LIKE.replace("{{ each.content }}", ""),
        LLAMA_LIKE.replace("[assistant]{%", "[assistant][TOOL_CALLS][{%"),
        LLAMA_LIKE.replace("}}}[end]", "}}, 1}[end]"),
        LLAMA_LIKE.replace("[assistant]{%", "Calling: {%"),
    ],
)
def test_what_is_not_known_is_not_taken_for_it(source):
    assert detect(rendering(source)) is None


@pytest.mark.parametrize(
    ("source", "taken"),
    [
        (TURNS, True),
        ("{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TURNS, False),
        (TURNS.replace("messages", "messages[-1:]"), False),
    ],
)
def test_whether_a_system_message_is_taken(source, taken):
    assert takes_system(rendering(source)) == taken


CONTROLS = 5


class Marked:
    """A vocabulary with tokens of their own for some texts; the first five of them are control tokens."""

    def __init__(self, **marks: int) -> None:
        self.marks = {f"<{name}>": token for name, token in marks.items()}
        self.written_marks = frozenset(token for token in marks.values() if token >= CONTROLS)

    def mark(self, text: str) -> int | None:
        return self.marks.get(text)


def test_tokens_that_stand_for_parts_of_the_syntax_are_known():
    vocabulary: Any = Marked(**{"tool_call": 7, "/tool_call": 8, "think": 9, "end": 2})
    for native in (True, False):
        marked = with_tokens(HERMES, vocabulary, native=native)
        assert marked.tokens == {"<tool_call>": 7, "</tool_call>": 8}
        assert marked.loose == (9,)
        assert with_tokens(HERMES, Marked(), native=native) == HERMES  # type: ignore[arg-type]


def test_control_tokens_are_used_only_where_the_template_shows_them():
    vocabulary: Any = Marked(**{"tool_call": 1, "/tool_call": 2, "think": 9})
    assert with_tokens(HERMES, vocabulary, native=True).tokens == {"<tool_call>": 1, "</tool_call>": 2}
    assert with_tokens(HERMES, vocabulary, native=False).tokens == {}


def test_json_in_a_template_is_not_escaped_for_html():
    source = "{{ {'b': '<é>', 'a': 1} | tojson }}{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, indent=1) }}"
    assert rendering(source)([], []) == '{"b": "<é>", "a": 1}{\n "a": 2,\n "b": 1\n}'
