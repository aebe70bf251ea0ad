import json
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.grammar.spans import LONGEST_CHUNK, SourceText, escaped

FULL = settings(max_examples=300, deadline=None, derandomize=True)


def chunks(text: str, atoms: tuple[tuple[int, int], ...] = ()) -> list[str]:
    return [text[start:end] for start, end in SourceText(text, atoms).chunks()]


@FULL
@given(st.data())
def test_chunks_are_together_the_whole_text(notes, data):
    note = data.draw(notes)
    found = list(note.chunks())

    assert "".join(note.text[start:end] for start, end in found) == note.text
    assert [start for start, _ in found] == [0, *(end for _, end in found)][: len(found)]
    assert all(start < end for start, end in found)


@FULL
@given(st.data())
def test_atoms_are_never_cut(notes, data):
    note = data.draw(notes)
    assert set(note.atoms) <= set(note.chunks())


@FULL
@given(st.data())
def test_letters_digits_and_their_marks_are_never_parted(notes, data):
    note = data.draw(notes)
    edges = {bound for atom in note.atoms for bound in atom}
    for _, end in note.chunks():
        if end in edges or end == len(note.text):
            continue
        before, after = note.text[end - 1], note.text[end]
        assert not (before.isalpha() and after.isalpha())
        assert not (before.isdecimal() and after.isdecimal())
        assert before.isspace() or unicodedata.category(after)[0] != "M"


@FULL
@given(st.data())
def test_an_occurrence_stands_where_it_is_said_to(notes, data):
    note = data.draw(notes)
    bounds = [0, *(end for _, end in note.chunks())]
    start, end = sorted(data.draw(st.tuples(st.sampled_from(bounds), st.sampled_from(bounds))))
    quote = note.text[start:end]
    if quote:
        starts = list(note.occurrences(quote))
        assert start in starts
        assert starts == sorted(set(starts))
        assert all(note.text[at : at + len(quote)] == quote for at in starts)


@pytest.mark.parametrize(
    "whole",
    ["0.5", ".5", "1,000", "1/2", "1-2", "½", "1½", "120/80", "2026-01-31", "don't", "O’Brien", "naïve"],
)
def test_numbers_and_words_stay_whole(whole):
    assert chunks(f"a {whole} b") == ["a", " ", whole, " ", "b"]


@pytest.mark.parametrize("whole", ["25mg", "0.5mg", ".5mg", "5mg/kg", "q4h", "q.i.d", "beta-blocker"])
def test_a_quote_holds_a_number_and_its_unit(whole):
    assert chunks(whole) == [whole]


def test_matches_are_each_found_text_once_in_order():
    assert SourceText("25 mg, 5 mg, 25 ml").matches(r"\d+|ml") == ["25", "5", "ml"]


def test_matches_lie_outside_atoms():
    assert SourceText("x 1 [DATE_2] 3", ((4, 12),)).matches(r"\d") == ["1", "3"]


@FULL
@given(st.data(), st.sampled_from([r"\d+", r"\w+", r"\b\w", r"[^\w\s]", r"\s*", "", r"(?s:.)+", r"\[?\w+"]))
def test_no_match_touches_an_atom_and_none_is_empty(notes, data, pattern):
    note = data.draw(notes)
    outside, position = [], 0
    for start, end in [*note.atoms, (len(note.text), len(note.text))]:
        outside.append(note.text[position:start])
        position = end
    for found in note.matches(pattern):
        assert found
        assert any(found in part for part in outside)


@pytest.mark.parametrize("whole", ["nai\u0308ve", "Sjo\u0308gren", "e\u0301", "कि", "❤\ufe0f"])
def test_a_character_and_its_marks_stay_together(whole):
    assert chunks(f"a {whole}.") == ["a", " ", whole, "."]


def test_an_atom_is_a_chunk_beside_any_letters():
    assert chunks("x[NAME_1]y", atoms=((1, 9),)) == ["x", "[NAME_1]", "y"]


def test_atoms_may_touch():
    assert chunks("[NAME_1][NAME_2]", atoms=((0, 8), (8, 16))) == ["[NAME_1]", "[NAME_2]"]


def test_occurrences_inside_other_words_do_not_count():
    assert list(SourceText("mg 25mg mg").occurrences("mg")) == [0, 8]


def test_occurrences_may_overlap():
    assert list(SourceText("a b a b a").occurrences("a b a")) == [0, 4]


@pytest.mark.parametrize(
    "text, without, expected",
    [
        ("", None, 0),
        (" \n.;🙂", None, 0),
        ("a", None, 1),
        ("½", None, 1),
        ("a, b 0.5", None, 3),
        ("take aspirin daily", "take|daily", 1),
        ("aspirin", "spir", 0),
        ("aspirin", "x", 1),
    ],
)
def test_words_are_counted_where_they_may_be_quoted(text, without, expected):
    assert SourceText(text).count_words(without) == expected


def test_a_word_that_is_too_long_is_not_quoted():
    long = "x" * (LONGEST_CHUNK + 1)
    assert SourceText(f"a {long} {long[1:]}").quotable() == ["a", " ", None, " ", long[1:]]
    assert SourceText(long).count_words() == 0


@pytest.mark.parametrize(
    "quote, sentence",
    [("well", "All p.o. well."), ("Abc de", "Abc de 5 mg."), ("Bxx 2.5 mg!", "Bxx 2.5 mg!"), ("Cyy", "Cyy")],
)
def test_a_sentence_is_what_full_stops_and_line_breaks_leave_of_a_text(quote, sentence):
    text = "All p.o. well. Abc de 5 mg. Bxx 2.5 mg!\r\nCyy\rDzz\n"
    start = text.index(quote)
    assert SourceText(text).sentence(start, start + len(quote)).text == sentence


@FULL
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_escaped_text_is_that_of_a_json_string(text):
    assert json.loads(f'"{escaped(text)}"') == text
    assert not re.search(r"[\x00-\x1f]", escaped(text))


def test_a_sign_that_no_vocabulary_writes_is_not_quoted():
    assert SourceText('a "\U00040000" b').quotable() == ["a", " ", '"', None, '"', " ", "b"]
