from hypothesis import given, settings
from hypothesis import strategies as st

from server.privacy.analysis import analyze
from server.privacy.pseudonyms import pseudonymize

IDENTIFIERS = {
    "Patient: Maria Alvarez.": "Maria Alvarez",
    "Seen by Dr. Okonkwo.": "Okonkwo",
    "QUISPE, PETER.": "QUISPE, PETER",
    "MRN: 00482913.": "00482913",
    "SSN 123-45-6789.": "123-45-6789",
    "Tel (617) 555-0123.": "(617) 555-0123",
    "Mail maria@example.org.": "maria@example.org",
    "DOB 03/14/1962.": "03/14/1962",
    "At 42 Oak Street, Boston, MA 02139.": "42 Oak Street, Boston, MA 02139",
    "See https://example.org/p/1.": "https://example.org/p/1",
}
# No letters in the filling: what a random word does to the name before it is for the recognizers' own tests.
FILLING = st.text(
    st.sampled_from(' \n.;()[]_{}"\\%é🙂') | st.characters(categories=["So", "Sm"]), max_size=20
)
TEXTS = st.lists(
    st.lists(FILLING | st.sampled_from([*IDENTIFIERS, "[NAME_1]", "[DATE_2]", "[NAME_"]), max_size=8).map(
        "\n".join
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_what_was_taken_out_is_gone_and_comes_back(texts):
    result = pseudonymize(texts, analyze(texts))

    for text in result.texts:
        assert not [value for value in IDENTIFIERS.values() if value in text.text]
        assert result.vault.restore(text.text) == text.original


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.data())
def test_any_chunking_restores_the_same(texts, data):
    result = pseudonymize(texts, analyze(texts))
    answer = "".join(text.text for text in result.texts) + data.draw(FILLING)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=12)))
    longest = max((end - start for text in result.texts for start, end in text.atoms), default=1)
    restorer = result.vault.restorer()

    shown = ""
    for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True):
        shown += restorer.feed(answer[start:end])
        assert len(result.vault.restore(answer[:end])) - len(shown) < longest

    assert shown + restorer.flush() == result.vault.restore(answer)


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.data())
def test_a_span_outside_pseudonyms_is_the_same_text_in_the_original(texts, data):
    for text in pseudonymize(texts, analyze(texts)).texts:
        start = data.draw(st.integers(0, len(text.text)))
        end = data.draw(st.integers(start, len(text.text)))
        cut = any(low < bound < high for low, high in text.atoms for bound in (start, end))
        if not cut and not any(start < high and low < end for low, high in text.atoms):
            begin, finish = text.original_span(start, end)
            assert text.original[begin:finish] == text.text[start:end]
