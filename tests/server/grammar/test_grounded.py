import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.clinical.tasks.medications import MedicationsDraft
from server.errors import InvalidGrammar
from server.grammar.compiler import compile_output_type
from server.grammar.grounded import grounded_type
from server.grammar.marks import CALLERS_MARKS
from server.grammar.spans import SourceText

DRAFT = MedicationsDraft.model_json_schema()
FIELDS = DRAFT["$defs"]["MedicationDraft"]["properties"]
MARKS = {"x-quote-of", "x-value-of"}
SEEDS = st.integers(0, 2**32)
# What JSON writes as \n, \r, \t, \b or \f, and Unicode's white space, parts words.
BLANKS = re.compile(r"[\b\f\n\r\t \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")


def quote(max_words: int = 3) -> dict[str, Any]:
    return {"type": "string", "x-quote-of": "text", "x-max-words": max_words}


def value(pattern: str) -> dict[str, Any]:
    return {"type": "string", "x-value-of": "text", "pattern": pattern}


def compiled(schema: dict[str, Any], note: SourceText) -> str:
    return compile_output_type(grounded_type(schema, {"text": note})).text


def marked_strings(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """(marked schema, text) of each marked string."""
    for medication in document["medications"]:
        for name, schema in FIELDS.items():
            choices = [each for each in [schema, *schema.get("anyOf", ())] if MARKS & each.keys()]
            if choices and name in medication:
                yield choices[0], medication[name]


def is_quote(note: SourceText, span: str) -> bool:
    """Whether `span` stands in the note from the beginning of a chunk to the end of one."""
    found = list(note.chunks())
    starts, ends = {start for start, _ in found}, {end for _, end in found}
    places = (match.start() for match in re.finditer(f"(?={re.escape(span)})", note.text))
    return any(start in starts and start + len(span) in ends for start in places)


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def is_letter(sign: str) -> bool:
    """llguidance knows a newer Unicode than Python, so what Python calls unassigned may be one."""
    return re.match(r"\w", sign) is not None or unicodedata.category(sign) == "Cn"


def words(span: str) -> list[str]:
    return BLANKS.split(span)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.data(), SEEDS)
def test_whatever_is_written_is_json_with_verbatim_spans_only(notes, walk, data, seed):
    note = data.draw(notes)
    document = json.loads(walk(compiled(DRAFT, note), seed))

    jsonschema.validate(document, DRAFT)
    for schema, span in marked_strings(document):
        if "x-value-of" in schema:
            assert span in note.matches(schema["pattern"])
            continue
        assert is_quote(note, span)
        assert 1 <= len(words(span)) <= schema["x-max-words"]
        assert all(words(span)), "a span begins and ends in ink"
        assert any(map(is_letter, words(span)[0]))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data(), st.integers(1, 4))
def test_every_span_that_may_be_quoted_can_be(notes, accepts, data, max_words):
    note = data.draw(notes.filter(lambda note: note.count_words()))
    grammar = compiled(quote(max_words), note)
    found = list(note.chunks())
    first = data.draw(st.integers(0, len(found) - 1))
    last = data.draw(st.integers(first, min(len(found) - 1, first + 7)))
    span = note.text[found[first][0] : found[last][1]]

    writable = None not in note.quotable()[first : last + 1]
    quotable = all(words(span)) and len(words(span)) <= max_words and re.search(r"\w", words(span)[0])
    if writable and quotable:
        assert accepts(grammar, json.dumps(span, ensure_ascii=False))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(st.sampled_from(' \n\t.;-…"\\🙂\x00\u2028'), max_size=12), SEEDS)
def test_of_a_text_without_words_nothing_is_found(walk, text, seed):
    assert json.loads(walk(compiled(DRAFT, SourceText(text)), seed)) == {"medications": []}


@pytest.mark.parametrize("text", ["½", "²", "①", "Ⅷ", "٣"])
def test_a_number_sign_is_a_word(walk, text):
    assert json.loads(walk(compiled(quote(), SourceText(text)), 0)) == text


@pytest.mark.parametrize(
    "text, refused",
    [
        (
            "amlodipine 0.5 mg",
            ["5", "0", "amlo", "amlodipine ", " mg", "", "0.5mg", "warfarin", "Amlodipine"],
        ),
        ("a b c d", ["a b c d", "a c"]),
        ("Sjo\u0308gren", ["Sjo", "gren", "Sjögren"]),
        ("x. y", [".", ". ", ". y"]),
        ("- x", ["-", "- x"]),
    ],
)
def test_what_is_not_a_span_is_refused(accepts, text, refused):
    grammar = compiled(quote(), SourceText(text))
    assert [span for span in refused if accepts(grammar, json.dumps(span, ensure_ascii=False))] == []


def test_an_atom_is_never_cut(accepts):
    grammar = compiled(quote(), SourceText("Dr. [NAME_1] said", ((4, 12),)))
    assert accepts(grammar, '"Dr. [NAME_1]"')
    assert not accepts(grammar, '"NAME_1"')
    assert not accepts(grammar, '"[NAME_1"')


def test_words_on_two_lines_are_two_words(accepts):
    grammar = compiled(quote(2), SourceText("one\r\ntwo\nthree"))
    assert accepts(grammar, json.dumps("one\r\ntwo"))
    assert not accepts(grammar, json.dumps("one\r\ntwo\nthree"))


@pytest.mark.parametrize("max_items", [1, 2, 3])
def test_a_list_holds_no_more_than_it_may(accepts, max_items):
    schema = {"type": "array", "items": quote(), "maxItems": max_items}
    grammar = compiled(schema, SourceText("a b c"))
    for count in range(5):
        assert accepts(grammar, json.dumps(["a"] * count, separators=(",", ":"))) == (count <= max_items)


def test_other_parts_are_what_their_schema_says(accepts):
    schema = {
        "type": "object",
        "properties": {
            "quote": quote(),
            "état": {"enum": ["présent", 'a"b', 1, None]},
            "count": {"type": "integer", "minimum": 0, "maximum": 9},
            "nothing": {"type": "null"},
        },
        "required": ["quote", "état", "count", "nothing"],
    }
    grammar = compiled(schema, SourceText("25mg"))
    document = {"quote": "25mg", "état": "présent", "count": 3, "nothing": None}

    assert accepts(grammar, compact(document))
    for changed in ({"état": 'a"b'}, {"état": 1}, {"état": None}, {"count": 0}):
        assert accepts(grammar, compact(document | changed))
    for changed in ({"état": "x"}, {"count": 10}, {"nothing": 0}, {"quote": None}):
        assert not accepts(grammar, compact(document | changed))
    assert not accepts(grammar, json.dumps(document, ensure_ascii=False)), "blanks are tokens to wait for"


@pytest.mark.parametrize("kept", range(8))
def test_what_is_not_required_may_be_left_out(accepts, kept):
    names = ["dose", "unit", "route"]
    optional = {name: {"anyOf": [value("[0-9]+"), {"type": "null"}]} for name in names}
    schema = {"type": "object", "properties": {"name": quote()} | optional, "required": ["name"]}
    grammar = compiled(schema, SourceText("25mg"))
    document = {"name": "25mg"} | {name: "25" for bit, name in enumerate(names) if kept >> bit & 1}

    assert accepts(grammar, compact(document))
    assert not accepts(grammar, compact(document | {"other": "25"}))
    assert not accepts(grammar, compact({key: value for key, value in document.items() if key != "name"}))


@pytest.mark.parametrize("required, expected", [(["name"], {"aspirin"}), (["name", "dose"], set())])
def test_a_value_that_the_note_does_not_hold_is_no_dead_end(walk, required, expected):
    item = {"type": "object", "properties": {"name": quote(), "dose": value("[0-9]+")}, "required": required}
    grammar = compiled({"type": "array", "items": item, "maxItems": 2}, SourceText("aspirin"))
    findings = [finding for seed in range(20) for finding in json.loads(walk(grammar, seed))]
    assert all(finding.keys() == {"name"} for finding in findings)
    assert {finding["name"] for finding in findings} == expected


def test_a_value_is_one_that_its_pattern_finds(accepts):
    grammar = compiled(value(r"\d+(?=mg)|\"[^\"]*\""), SourceText('25mg, 30 ml, "é\n"'))
    assert accepts(grammar, '"25"')
    assert accepts(grammar, compact('"é\n"'))
    assert not accepts(grammar, '"2"')
    assert not accepts(grammar, '"30"')


def test_a_grammar_that_cannot_be_is_refused():
    with pytest.raises(InvalidGrammar):
        compiled({"type": "string", "pattern": "(?=a)b"}, SourceText("a"))


def for_callers(schema: dict[str, Any], text: str) -> str:
    return compile_output_type(grounded_type(schema, {"text": SourceText(text)}, CALLERS_MARKS)).text


def object_of(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


def list_of(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


CALLERS_QUOTE = {"type": "string", "x-quote-of": "text"}
NULLABLE = {"type": ["string", "null"], "x-quote-of": "text"}
SHAPES = {
    "optional first": object_of({"a": CALLERS_QUOTE, "b": {"type": "integer"}}, ["b"]),
    "all optional": object_of({"a": CALLERS_QUOTE, "b": CALLERS_QUOTE}, []),
    "nullable": object_of({"a": NULLABLE}),
    "any of": object_of({"a": {"anyOf": [{"type": "null"}, CALLERS_QUOTE]}}),
    "quote or number": object_of({"a": {"anyOf": [{"type": "integer", "maximum": 9}, CALLERS_QUOTE]}}),
    "list of quotes": object_of({"a": list_of(CALLERS_QUOTE)}),
    "list that holds two": list_of(CALLERS_QUOTE, minItems=2, maxItems=3),
    "lists of lists": list_of(list_of(CALLERS_QUOTE, maxItems=2), maxItems=2),
    "definitions": {
        **object_of({"a": list_of({"$ref": "#/$defs/finding"}), "b": {"$ref": "#/$defs/finding"}}, ["a"]),
        "$defs": {
            "finding": object_of({"quote": {"$ref": "#/$defs/quote"}, "kind": {"$ref": "#/$defs/kind"}}),
            "quote": {"title": "Quote", **CALLERS_QUOTE},
            "kind": {"description": "which", "enum": ["x", "y"]},
        },
    },
    "other parts": {
        **object_of(
            {
                "a": CALLERS_QUOTE,
                "tree": {"$ref": "#/$defs/tree"},
                "free": {"type": "object", "additionalProperties": {"type": "boolean"}, "maxProperties": 2},
                "day": {"type": "string", "format": "date"},
                "é\x7f": {"const": [1, {"\x7f": None}]},
            }
        ),
        "$defs": {
            "tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 1},
            "unused": CALLERS_QUOTE,
        },
    },
    "object or null": {
        "type": ["object", "null"],
        **{**object_of({"a": CALLERS_QUOTE}), "type": ["object", "null"]},
    },
}


def strings(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for key, each in document.items():
            if key not in ("kind", "day", "free", "é\x7f"):
                yield from strings(each)
    elif isinstance(document, list):
        for each in document:
            yield from strings(each)


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data(), SEEDS)
def test_whatever_is_written_fits_a_callers_schema_and_quotes_the_note(notes, walk, shape, data, seed):
    note = data.draw(notes.filter(lambda note: note.count_words()))
    grammar = compile_output_type(grounded_type(SHAPES[shape], {"text": note}, CALLERS_MARKS)).text
    document = json.loads(walk(grammar, seed))

    jsonschema.validate(document, SHAPES[shape])
    for span in strings(document):
        assert is_quote(note, span)
        assert any(map(is_letter, words(span)[0]))
        assert all(words(span))


@pytest.mark.parametrize("shape", ["all optional", "nullable", "any of", "quote or number", "list of quotes"])
def test_nothing_is_invented_where_there_is_nothing_to_quote(walk, shape):
    document = json.loads(walk(for_callers(SHAPES[shape], " ...\n"), 1))
    jsonschema.validate(document, SHAPES[shape])
    assert not list(strings(document))


@pytest.mark.parametrize("shape", ["optional first", "list that holds two", "object or null", "definitions"])
def test_null_or_nothing_may_always_be_written_where_the_schema_has_it(accepts, shape):
    least = {"optional first": {"b": 1}, "object or null": None, "definitions": {"a": []}}
    if shape in least:
        assert accepts(for_callers(SHAPES[shape], "fever"), compact(least[shape]))
    else:
        assert not accepts(for_callers(SHAPES[shape], "fever"), "[]")
        assert accepts(for_callers(SHAPES[shape], "fever"), '["fever","fever"]')


@pytest.mark.parametrize(
    "schema", [object_of({"a": CALLERS_QUOTE}), CALLERS_QUOTE, list_of(CALLERS_QUOTE, minItems=1)]
)
def test_a_required_quote_of_nothing_is_refused(schema):
    with pytest.raises(InvalidGrammar, match="nothing to quote"):
        for_callers(schema, "")


@pytest.mark.parametrize("max_words", [1, 3, 128])
def test_a_quote_has_at_most_so_many_words(accepts, max_words):
    text = " ".join(f"w{number}" for number in range(140))
    grammar = for_callers({**CALLERS_QUOTE, "x-max-words": max_words}, text)
    assert accepts(grammar, compact(" ".join(text.split()[:max_words])))
    assert not accepts(grammar, compact(" ".join(text.split()[: max_words + 1])))


def test_by_default_a_quote_has_thirty_two_words(accepts):
    text = " ".join(f"w{number}" for number in range(140))
    grammar = for_callers(CALLERS_QUOTE, text)
    assert accepts(grammar, compact(" ".join(text.split()[:32])))
    assert not accepts(grammar, compact(" ".join(text.split()[:33])))


@pytest.mark.parametrize(
    "schema, path, reason",
    [
        (object_of({"a": {"type": "string", "x-quote-of": "note"}}), "$.properties.a", "x-quote-of"),
        (object_of({"a": {"type": "string", "x-quote-of": 3}}), "$.properties.a", "x-quote-of"),
        (object_of({"a": {"type": "string", "x-quote-of": ["text"]}}), "$.properties.a", "x-quote-of"),
        (object_of({"a": {"type": "integer", "x-quote-of": "text"}}), "$.properties.a", "string"),
        (object_of({"a": {"x-quote-of": "text"}}), "$.properties.a", "string"),
        (object_of({"a": {**CALLERS_QUOTE, "x-max-words": 0}}), "$.properties.a", "x-max-words"),
        (object_of({"a": {**CALLERS_QUOTE, "x-max-words": 129}}), "$.properties.a", "x-max-words"),
        (object_of({"a": {**CALLERS_QUOTE, "x-max-words": True}}), "$.properties.a", "x-max-words"),
        (object_of({"a": {**CALLERS_QUOTE, "x-max-words": "3"}}), "$.properties.a", "x-max-words"),
        (object_of({"a": {"type": "string", "x-max-words": 3}}), "$.properties.a", "x-max-words"),
        (object_of({"a": {**CALLERS_QUOTE, "maxLength": 3}}), "$.properties.a", "maxLength"),
        (object_of({"a": {**CALLERS_QUOTE, "enum": ["a"]}}), "$.properties.a", "enum"),
        (object_of({"a": {**CALLERS_QUOTE, "pattern": "a"}}), "$.properties.a", "pattern"),
        (object_of({"a": {**CALLERS_QUOTE, "x-without": "a"}}), "$.properties.a", "x-without"),
        (
            object_of({"a": {"type": "string", "x-value-of": "text", "pattern": "a"}}),
            "$.properties.a",
            "x-value-of",
        ),
        ({**object_of({"a": CALLERS_QUOTE}), "additionalProperties": True}, "$", "additionalProperties"),
        ({**object_of({"a": CALLERS_QUOTE}), "minProperties": 1}, "$", "minProperties"),
        ({**object_of({"a": CALLERS_QUOTE}), "required": ["b"]}, "$", "required"),
        ({"type": "object", "patternProperties": {"a": CALLERS_QUOTE}}, "$", "patternProperties"),
        (object_of({"a": list_of(CALLERS_QUOTE, uniqueItems=True)}), "$.properties.a", "uniqueItems"),
        (
            object_of({"a": {"type": "array", "prefixItems": [CALLERS_QUOTE]}}),
            "$.properties.a",
            "prefixItems",
        ),
        ({"oneOf": [CALLERS_QUOTE, {"type": "null"}]}, "$", "oneOf"),
        ({"allOf": [CALLERS_QUOTE]}, "$", "allOf"),
        ({"not": CALLERS_QUOTE}, "$", "not"),
        ({"anyOf": [{"not": CALLERS_QUOTE}]}, "$.anyOf[0]", "not"),
        ({"anyOf": [CALLERS_QUOTE], "type": "string"}, "$", "type"),
        ({"properties": {"a": CALLERS_QUOTE}}, "$", "type"),
        ({"$ref": "#/$defs/a", "type": "object", "$defs": {"a": CALLERS_QUOTE}}, "$", "type"),
        (
            {
                "$ref": "#/$defs/a",
                "$defs": {"a": object_of({"q": CALLERS_QUOTE, "a": {"$ref": "#/$defs/a"}}, ["q"])},
            },
            "#/$defs/a.properties.a",
            "itself",
        ),
        (
            object_of({"q": CALLERS_QUOTE, "b": {"$ref": "#/properties/c"}, "c": {"type": "null"}}),
            "$.properties.b",
            "definitions",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_mark_that_cannot_be_honoured_is_refused_with_path_and_reason(schema, path, reason):
    with pytest.raises(InvalidGrammar) as caught:
        for_callers(schema, "fever")
    assert caught.value.message.startswith(f"{path}: ")
    assert reason in caught.value.message


def test_definitions_used_often_are_written_once():
    definitions: dict[str, Any] = {"d0": CALLERS_QUOTE}
    for level in range(1, 30):
        below = {"$ref": f"#/$defs/d{level - 1}"}
        definitions[f"d{level}"] = object_of({"a": below, "b": below})
    assert len(for_callers({"$ref": "#/$defs/d29", "$defs": definitions}, "fever")) < 20_000


@pytest.mark.parametrize("text, good", [("2024-02-29", True), ("2023-02-29", False)])
def test_what_stands_beside_a_quote_is_forced_exactly_too(accepts, text, good):
    quote, on = {"type": "string", "x-quote-of": "text"}, {"type": "string", "format": "date"}
    schema = {"type": "object", "properties": {"quote": quote, "on": on}, "required": ["quote", "on"]}
    grammar = compile_output_type(grounded_type(schema, {"text": SourceText("fever")})).text
    assert accepts(grammar, f'{{"quote":"fever","on":"{text}"}}') == good
