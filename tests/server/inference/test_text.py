import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.inference.text import Detokenizer, StopMatcher

STOPS = st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=4)
PROPERTY = settings(max_examples=300, deadline=None, derandomize=True)


class Pieces:
    """A vocabulary whose token n is the n-th of some byte strings."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    def piece(self, token: int, special: bool = False) -> bytes:
        return b"<control>" if special else self._pieces[token]


def streamed(stage: StopMatcher, pieces: list[str]) -> str:
    return "".join(stage.feed(piece) for piece in pieces) + stage.flush()


def cut(text: str, stops: list[str]) -> str:
    """`text` before the stop string that is complete first; of two that end together, before the longer."""
    for end in range(len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))]
    return text


def split(text: str, cuts: list[int]) -> list[str]:
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@PROPERTY
@given(st.text("ab\nc", max_size=16), STOPS, st.data())
def test_however_it_arrives_the_text_is_cut_at_the_first_stop(text, stops, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    matcher = StopMatcher(stops)
    assert streamed(matcher, split(text, cuts)) == cut(text, stops)
    assert matcher.stopped == (cut(text, stops) != text)


@PROPERTY
@given(st.text("ab\nc", max_size=16), STOPS)
def test_no_more_is_held_back_than_may_become_a_stop(text, stops):
    matcher = StopMatcher(stops)
    shown = ""
    for position, sign in enumerate(text, start=1):
        shown += matcher.feed(sign)
        if matcher.stopped:
            return
        held = text[len(shown) : position]
        assert not held or any(stop.startswith(held) for stop in stops)


def test_after_the_stop_nothing_is_shown():
    matcher = StopMatcher(["END"])
    assert matcher.feed("a EN") == "a "
    assert matcher.feed("D b") == ""
    assert matcher.stopped
    assert matcher.feed("c") == matcher.flush() == ""


def test_what_did_not_become_a_stop_is_shown():
    matcher = StopMatcher(["END"])
    assert matcher.feed("a EN") == "a "
    assert matcher.feed("T") == "ENT"
    assert matcher.feed("E") == ""
    assert matcher.flush() == "E"
    assert not matcher.stopped


def test_without_stops_everything_is_shown_at_once():
    matcher = StopMatcher([])
    assert matcher.feed("abc") == "abc"
    assert not matcher.stopped


def test_a_stop_within_a_longer_one_is_complete_first():
    assert streamed(StopMatcher(["xaby", "ab"]), ["xaby"]) == "x"
    assert streamed(StopMatcher(["xaby", "ab"]), list("xaby")) == "x"


@PROPERTY
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.data())
def test_characters_may_be_split_over_tokens(text, data):
    data_bytes = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(data_bytes)), max_size=8)))
    pieces = [data_bytes[start:end] for start, end in zip([0, *cuts], [*cuts, len(data_bytes)], strict=True)]
    detokenizer = Detokenizer(Pieces(*pieces))

    shown = ""
    for token in range(len(pieces)):
        shown += detokenizer.feed([token])
        assert text.startswith(shown)
        assert len(b"".join(pieces[: token + 1])) - len(shown.encode()) < 4
    assert shown + detokenizer.flush() == text


@pytest.mark.parametrize("pieces", [(b"\xf0\x9f", b"a"), (b"\xf0\x9f\x99",), (b"\xff",)])
def test_bytes_that_are_no_character_are_replaced(pieces):
    detokenizer = Detokenizer(Pieces(*pieces))
    text = "".join(detokenizer.feed([token]) for token in range(len(pieces))) + detokenizer.flush()
    assert text.count("\ufffd") == 1
    assert text.replace("\ufffd", "") in ("", "a")


def test_several_tokens_at_once():
    assert Detokenizer(Pieces(b"a", b"b")).feed([1, 0, 1]) == "bab"


def test_control_tokens_are_spelled_where_that_is_asked():
    pieces = Pieces(b"a", b"", b"")
    assert Detokenizer(pieces).feed([0, 1, 2]) == "a"
    assert Detokenizer(pieces, [1]).feed([0, 1, 2]) == "a<control>"
