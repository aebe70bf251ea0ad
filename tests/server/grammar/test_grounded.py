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
        assert any(map(is_letter, span))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data(), st.integers(1, 4))
def test_every_span_that_may_be_quoted_can_be(notes, accepts, data, max_words):
    note = data.draw(notes.filter(lambda note: note.count_words()))
    grammar = compiled(quote(max_words), note)
    found = list(note.chunks())
    first = data.draw(st.integers(0, len(found) - 1))
    last = data.draw(st.integers(first, min(len(found) - 1, first + 7)))
    span = note.text[found[first][0] : found[last][1]]

    quotable = all(words(span)) and len(words(span)) <= max_words and re.search(r"\w", span)
    if quotable:
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
        ("x. y", [".", ". "]),
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
