import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.grammar.code_pattern import code_grammar

SIGNS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\')
CODES = st.lists(
    st.text(st.sampled_from("AB1./-[]^ ß薬") | SIGNS, min_size=1, max_size=6), min_size=1, max_size=12
)


@settings(max_examples=200, deadline=None)
@given(CODES, st.data())
def test_its_sentences_are_the_codes_and_nothing_else(accepts, codes, data):
    grammar = code_grammar(codes)
    for code in codes:
        assert accepts(grammar, f'{code}"')
    other = data.draw(st.text(st.sampled_from("".join(codes)), max_size=6))
    assert accepts(grammar, f'{other}"') == (other in codes)


@settings(max_examples=50, deadline=None)
@given(CODES, st.integers(0, 2**32))
def test_whatever_is_written_is_a_code(walk, codes, seed):
    written = walk(code_grammar(codes), seed)
    assert written[-1] == '"'
    assert written[:-1] in codes


@pytest.mark.parametrize("codes", [["A"], ["A", "AA", "AAA"], ["A1", "B1", "C1"], ["", "A"]])
def test_a_code_that_goes_on_where_another_ends_is_another(accepts, codes):
    grammar = code_grammar(codes)
    assert [
        code for code in ["", "A", "AA", "AAA", "AAAA", "A1", "B1", "1"] if accepts(grammar, f'{code}"')
    ] == [code for code in ["", "A", "AA", "AAA", "AAAA", "A1", "B1", "1"] if code in codes]


def test_the_order_of_the_file_does_not_matter():
    codes = [f"A{number}" for number in range(100)]
    mixed = random.Random(1).sample(codes, len(codes))
    assert code_grammar(codes) == code_grammar(mixed)
