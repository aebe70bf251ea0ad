import pytest

from server.privacy.spans import Span, resolve

TEXT = "Maria Alvarez, 12 Oak Street, Boston"


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([Span(0, 13, "NAME", 0.7), Span(0, 13, "ADDRESS", 0.9)], [Span(0, 13, "ADDRESS", 0.9)]),
        ([Span(6, 13, "NAME", 0.7), Span(0, 13, "NAME", 0.7)], [Span(0, 13, "NAME", 0.7)]),
        (
            [Span(1, 5, "NAME", 0.7), Span(0, 4, "NAME", 0.7)],
            [Span(0, 4, "NAME", 0.7), Span(4, 5, "NAME", 0.7)],
        ),
        ([Span(15, 36, "ADDRESS", 0.8), Span(0, 13, "NAME", 0.7)], None),
    ],
    ids=["score", "length", "earliest, and the rest is kept", "disjoint"],
)
def test_winners(spans, expected):
    assert resolve(TEXT, spans) == (expected or sorted(spans))


def test_what_a_loser_covers_beside_the_winner_stays_covered():
    resolved = resolve(TEXT, [Span(0, 28, "ADDRESS", 0.5), Span(6, 13, "NAME", 0.9)])

    assert [TEXT[span.start : span.end] for span in resolved] == ["Maria", "Alvarez", "12 Oak Street"]
