import time

import pytest

from server.engine.compilation import Compilation
from server.engine.matcher import GrammarFault, Matcher
from server.engine.protocol import Sampling
from server.engine.sampler import Sampler
from server.engine.sequence import Sequence

FIXED = 'start: "ab"'


@pytest.fixture
def compilation(byte_tokenizer) -> Compilation:
    return Compilation(byte_tokenizer)


def sequence(number: int) -> Sequence:
    return Sequence(number, [1], 1, 5, Sampler(Sampling()))


def finished(compilation: Compilation) -> dict[int, Matcher | GrammarFault]:
    """What everyone waits for, once nobody does."""
    found: dict[int, Matcher | GrammarFault] = {}
    end_s = time.monotonic() + 5
    while len(compilation):
        assert time.monotonic() < end_s
        compilation.wait(0.1)
        found |= {each.id: outcome for each, outcome in compilation.finished()}
    return found


def test_who_waits_gets_a_matcher_of_its_own(compilation):
    for number in (1, 2):
        compilation.begin(sequence(number), FIXED)
    first, second = finished(compilation).values()
    assert bytes(first.forced()) == b"ab"
    assert (first.finished, second.finished) == (True, False)


def test_a_grammar_that_is_known_is_not_compiled_again(compilation):
    for number in (1, 2, 3):
        compilation.begin(sequence(number), FIXED)
        finished(compilation)
    assert len(compilation.take_seconds()) == 1
    assert compilation.take_seconds() == []
    compilation.begin(sequence(4), FIXED)
    assert [each.id for each, _ in compilation.finished()] == [4]


def test_a_broken_grammar_is_told_to_who_asked_for_it(compilation):
    compilation.begin(sequence(1), "no grammar")
    compilation.begin(sequence(2), FIXED)
    outcomes = finished(compilation)
    assert isinstance(outcomes[1], GrammarFault)
    assert isinstance(outcomes[2], Matcher)


def test_who_is_taken_out_waits_no_more(compilation):
    waiting = sequence(1)
    compilation.begin(waiting, FIXED)
    assert compilation.take(1) is waiting
    assert compilation.take(1) is None
    assert len(compilation) == 0
    assert not list(compilation.finished())


def test_those_not_asked_for_in_long_are_forgotten(compilation):
    for number in range(70):
        compilation.begin(sequence(number), f'start: "{number}"')
    finished(compilation)
    compilation.take_seconds()
    for grammar in ("0", "69"):
        compilation.begin(sequence(100 + int(grammar)), f'start: "{grammar}"')
    finished(compilation)
    assert len(compilation.take_seconds()) == 1
