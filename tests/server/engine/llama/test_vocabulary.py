import pytest


def test_a_control_token_stands_for_its_text(vocabulary):
    token = vocabulary.mark("<|im_start|>")
    assert vocabulary.piece(token, special=True) == b"<|im_start|>"
    assert vocabulary.piece(token) == b""


@pytest.mark.parametrize("text", ["", "the", "<tool_call>", "<|im_start|><|im_end|>", "a<|im_start|>"])
def test_what_is_spelled_has_no_token_of_its_own(vocabulary, text):
    assert vocabulary.mark(text) is None


def test_these_weights_write_no_marks(vocabulary):
    assert vocabulary.written_marks == frozenset()
