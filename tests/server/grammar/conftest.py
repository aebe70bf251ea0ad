"""Notes with everything in them that JSON, regular expressions or Unicode make hard."""

import pytest
from hypothesis import strategies as st

from server.grammar.spans import SourceText

PIECES = [
    *('"', "\\", "/", "\\n", '\\"', "\\u0041", "\n", "\r\n", "\t", "\b", "\f", "\v", "\x00", "\x1c", "\x7f"),
    *(
        " ",
        "  ",
        "\u00a0",
        "\u2028",
        "\ufeff",
        "\u0085",
        ".",
        ",",
        "-",
        "'",
        "’",
        "{",
        "}",
        "]",
        "%",
        "#",
        "//",
    ),
    *("0.5", ".5", "1,000", "25mg", "5mg/kg", "1/2", "½", "²", "Ⅷ", "٣", "q4h", "x2", "BP120/80", "1-2"),
    *("Take", "amlodipine", "don't", "ß", "İ", "naïve", "nai\u0308ve", "\u0301", "कि", "薬", "لا"),
    *("🙂", "❤️", "👩‍👩‍👧", "👍🏽", "\U0010ffff", "\ue000"),
]
PSEUDONYMS = ["[NAME_1]", "[NAME_12]", "[DATE_3]", "[MRN_1]"]
ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)


def source(pieces: list[tuple[str, bool]]) -> SourceText:
    """Pieces to a text, of which the marked ones are atoms."""
    text, atoms = "", []
    for piece, is_atom in pieces:
        if is_atom:
            atoms.append((len(text), len(text) + len(piece)))
        text += piece
    return SourceText(text, tuple(atoms))


@pytest.fixture(scope="session")
def notes() -> st.SearchStrategy[SourceText]:
    pieces = st.tuples(st.sampled_from(PIECES) | ANY, st.just(False))
    atoms = st.tuples(st.sampled_from(PSEUDONYMS), st.just(True))
    return st.lists(pieces | pieces | atoms, max_size=14).map(source)
