import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outlines.types import CFG

from server.grammar.compiler import Grammar, compile_json_schema, compile_output_type
from server.grammar.tool_calls import HERMES, CallSyntax, compile_tool_calls

BARE = CallSyntax(opening='{"name": "', middle='", "parameters": ', closing="}")
SPACED = CallSyntax(
    opening='<tool_call>\n{"name": "',
    middle='", "arguments": ',
    closing="}\n</tool_call>",
    separator="\n",
    marker="<tool_call>",
)
SCHEMAS: dict[str, dict[str, Any]] = {
    "get": {
        "type": "object",
        "properties": {"mrn": {"type": "string", "pattern": "^[0-9]{4}$"}},
        "required": ["mrn"],
        "additionalProperties": False,
    },
    "get_labs": {
        "type": "object",
        "properties": {"days": {"$ref": "#/$defs/days"}, "unit": {"enum": ["mg", "}</tool_call>"]}},
        "required": ["days"],
        "additionalProperties": False,
        "$defs": {"days": {"type": "integer", "minimum": 1, "maximum": 30}},
    },
}
GET = '<tool_call>{"name":"get","arguments":{"mrn":"1234"}}</tool_call>'
LABS = '<tool_call>{"name":"get_labs","arguments":{"days":7,"unit":"mg"}}</tool_call>'
TEXT = "Let me look that up < tool_call> <tool_cal {}\n\n"


def grammar_of(syntax: CallSyntax = HERMES, *, required: bool = False, most_calls: int = 4) -> str:
    return compiled(syntax, required=required, most_calls=most_calls).text


def compiled(syntax: CallSyntax, *, required: bool, most_calls: int = 4) -> Grammar:
    arguments = {name: compile_json_schema(schema) for name, schema in SCHEMAS.items()}
    return compile_tool_calls(syntax, arguments, required=required, most_calls=most_calls)


@pytest.mark.parametrize("text", [GET, LABS, f"{GET}\n{LABS}", "\n".join([GET] * 4)])
def test_calls_that_fit_their_schemas_are_accepted(accepts, text):
    assert accepts(grammar_of(required=True), text)
    assert accepts(grammar_of(), text)
    assert accepts(grammar_of(), TEXT + text)


@pytest.mark.parametrize(
    "text",
    [
        GET.replace("1234", "12345"),
        GET.replace('"1234"', "1234"),
        GET.replace('"get"', '"got"'),
        GET.replace('"get"', '"get_labs"'),
        GET.replace('{"mrn":"1234"}', "{}"),
        GET.replace(":{", ": {"),
        LABS.replace("7", "31"),
        LABS.replace('"mg"', '"mg","more":1'),
        GET[:-1],
        GET + LABS,
        f"{GET}\n",
        f"{GET}\nDone.",
        "\n".join([GET] * 5),
        "<tool_call>",
        '<tool_call>{"name":"',
    ],
)
def test_nothing_else_is_a_call(accepts, text):
    assert not accepts(grammar_of(required=True), text)
    assert not accepts(grammar_of(), text)
    assert not accepts(grammar_of(), TEXT + text)


@pytest.mark.parametrize("text", ["", TEXT, "</tool_call>", '{"name":"get","arguments":{}}', "é🙂\x00"])
def test_free_text_is_accepted_only_where_no_call_is_required(accepts, text):
    assert accepts(grammar_of(), text)
    assert not accepts(grammar_of(required=True), text)


def test_a_single_call_is_all_where_several_are_not_wanted(accepts):
    grammar = grammar_of(most_calls=1)
    assert accepts(grammar, TEXT + GET)
    assert not accepts(grammar, f"{GET}\n{LABS}")


def test_the_blanks_of_a_template_are_part_of_the_syntax(accepts):
    call = '<tool_call>\n{"name": "get", "arguments": {"mrn":"1234"}}\n</tool_call>'
    assert accepts(grammar_of(SPACED), f"Yes.\n{call}\n{call}")
    assert accepts(grammar_of(SPACED, required=True), call)
    assert not accepts(grammar_of(SPACED), GET)


@pytest.mark.parametrize("text", ["", "Nothing to call.", "\n Nothing {}", "<tool_call>"])
def test_without_a_marker_a_text_is_what_does_not_begin_as_an_object(accepts, text):
    assert accepts(grammar_of(BARE), text)
    assert not accepts(grammar_of(BARE, required=True), text)


def test_without_a_marker_a_call_is_the_whole_answer(accepts):
    call = '{"name": "get_labs", "parameters": {"days":7}}'
    assert accepts(grammar_of(BARE), call)
    assert accepts(grammar_of(BARE, required=True), call)
    for text in (f"Yes. {call}x", f"{call}\n{call}", f"{call}; {call}", " {", '{"a":1}', call[:-1]):
        assert accepts(grammar_of(BARE), text) == text.startswith("Yes")
        assert not accepts(grammar_of(BARE, required=True), text)


def test_the_shortest_call_is_known_where_one_is_required():
    """As far as it is: what a pattern asks for counts for nothing."""
    shortest = compiled(HERMES, required=True).shortest
    assert shortest == GET.replace("1234", "")
    marked = replace(HERMES, tokens={"<tool_call>": 257, "</tool_call>": 258})
    assert compiled(marked, required=True).shortest == '{"name":"get","arguments":{"mrn":""}}'
    assert compiled(HERMES, required=False).shortest is None


def test_arguments_may_have_a_grammar_of_their_own(accepts):
    arguments = {
        "say": compile_output_type(CFG('start: "{\\"text\\":\\"" WORD "\\"}"\nWORD: /[ab]+/')),
        "get": compile_json_schema(SCHEMAS["get"]),
    }
    grammar = compile_tool_calls(HERMES, arguments, required=True, most_calls=2).text
    said = '<tool_call>{"name":"say","arguments":{"text":"abba"}}</tool_call>'
    assert accepts(grammar, said)
    assert accepts(grammar, f"{said}\n{GET}")
    assert not accepts(grammar, said.replace("abba", "abc"))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), required=st.booleans())
def test_whatever_a_grammar_lets_through_is_text_and_whole_calls(walk, seed, required):
    written = walk(grammar_of(required=required), seed)
    content, *calls = written.split("<tool_call>")
    assert not required or (calls and not content)
    for call in calls:
        document = json.loads(call.strip().removesuffix("</tool_call>"))
        jsonschema.validate(document["arguments"], SCHEMAS[document["name"]])


def test_a_marker_with_a_token_of_its_own_can_be_written_as_that_token_only(byte_marks, accepts_tokens):
    """Bytes can spell neither the marker nor its end; other marks may stand in the text."""
    syntax = CallSyntax(
        HERMES.opening, HERMES.middle, HERMES.closing, "\n", HERMES.marker, byte_marks, loose=(260,)
    )
    begin, end = byte_marks["<tool_call>"], byte_marks["</tool_call>"]
    body = list(b'{"name":"get","arguments":{"mrn":"1234"}}')
    call = [begin, *body, end]
    text = list(b"Well <tool_cal")
    auto, required = (grammar_of(syntax, required=each) for each in (False, True))
    for grammar in (auto, required):
        assert accepts_tokens(grammar, call)
        assert accepts_tokens(grammar, [*call, *b"\n", *call])
        assert not accepts_tokens(grammar, [*b"<tool_call>", *body, end])
        assert not accepts_tokens(grammar, [begin, *body, *b"</tool_call>"])
        assert not accepts_tokens(grammar, [*call, *b"\n<tool_call>", *body, end])
    for said in (text, [260, *text], [*text, 260, *text], [*b"a", 260, 260]):
        assert accepts_tokens(auto, said)
        assert accepts_tokens(auto, [*said, *call])
        assert not accepts_tokens(required, [*said, *call])
    assert not accepts_tokens(auto, list(b"<tool_call>"))
    assert not accepts_tokens(auto, [end])
