import pytest

from server.engine.matcher import GrammarFault, Matcher

END = 256


class FailingMatcher:
    """An llguidance matcher that met a limit of its own: it says that it is stopped, and in error."""

    def compute_ff_tokens(self) -> list[int]:
        return []

    def is_error(self) -> bool:
        return True

    def is_stopped(self) -> bool:
        return True


def test_allowed_tokens_are_those_of_the_grammar(byte_tokenizer):
    matcher = Matcher(byte_tokenizer, "start: /[b-d]/")
    assert bytes(matcher.allowed().ids.tolist()) == b"bcd"


def test_the_end_is_allowed_where_the_grammar_may_end(byte_tokenizer):
    matcher = Matcher(byte_tokenizer, "start: /a*/")
    assert matcher.allowed().ids.tolist() == [ord("a"), END]
    matcher.accept(END)
    assert matcher.finished


def test_bits_beyond_the_vocabulary_are_not_tokens(byte_tokenizer):
    allowed = Matcher(byte_tokenizer, "start: /(?s:.)*/").allowed().ids
    assert allowed.max() == END < byte_tokenizer.vocab_size


def test_forced_tokens_are_taken_and_returned(byte_tokenizer):
    matcher = Matcher(byte_tokenizer, 'start: "abc" /[xy]/ "def"')
    assert bytes(matcher.forced()) == b"abc"
    assert matcher.forced() == []
    matcher.accept(ord("x"))
    assert not matcher.finished
    assert bytes(matcher.forced()) == b"def"
    assert matcher.finished


def test_it_finishes_when_nothing_more_may_follow(byte_tokenizer):
    matcher = Matcher(byte_tokenizer, "start: /ab?/")
    matcher.accept(ord("a"))
    assert not matcher.finished
    matcher.accept(ord("b"))
    assert matcher.finished


@pytest.mark.parametrize(
    "grammar", ["", "no grammar", "start: missing", 'start: "a', "start: /(?=a)b/", "{}", '{"grammars":[]}']
)
def test_what_is_no_grammar_is_a_fault(byte_tokenizer, grammar):
    with pytest.raises(GrammarFault):
        Matcher(byte_tokenizer, grammar)


def test_a_grammar_of_nothing_is_a_fault(byte_tokenizer):
    with pytest.raises(GrammarFault):
        Matcher(byte_tokenizer, "start: T\nT: /a/ & /b/").allowed()


@pytest.mark.parametrize("token", [ord("z"), END])
def test_a_token_that_was_not_allowed_is_a_fault_for_good(byte_tokenizer, token):
    matcher = Matcher(byte_tokenizer, 'start: /[a-c]/ "d"')
    with pytest.raises(GrammarFault):
        matcher.accept(token)
    with pytest.raises(GrammarFault):
        matcher.accept(ord("a"))
    with pytest.raises(GrammarFault):
        matcher.allowed()


def test_a_matcher_that_failed_is_never_taken_for_finished(byte_tokenizer):
    matcher = Matcher(byte_tokenizer, "start: /a*/")
    matcher._matcher = FailingMatcher()
    with pytest.raises(GrammarFault):
        matcher.forced()


def test_a_fault_tells_nothing_of_the_text(byte_tokenizer):
    with pytest.raises(GrammarFault) as caught:
        Matcher(byte_tokenizer, 'start: "Maria Alvarez')
    assert "Maria" not in str(caught.value)


def test_a_mask_stays_as_it_was_when_the_matcher_moves_on(byte_tokenizer):
    matcher = Matcher(byte_tokenizer, 'start: /[a-c]/ "d"')
    first = matcher.allowed()
    matcher.accept(ord("b"))
    second = matcher.allowed()
    assert bytes(first.ids.tolist()) == b"abc"
    assert bytes(second.ids.tolist()) == b"d"
