import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.clinical.evidence import EvidenceLocator
from server.errors import GenerationFailed
from server.privacy.findings import Finding
from server.privacy.pseudonyms import pseudonymize

_FINDING = {
    "properties": {
        "evidence": {"x-quote-of": "text", "x-max-words": 9},
        "name": {"x-quote-of": "text", "x-max-words": 3},
        "dose": {"anyOf": [{"x-value-of": "text", "pattern": "[0-9.]+"}, {"type": "null"}]},
    },
    "required": ["evidence"],
}
_LIST = {"type": "array", "items": _FINDING}
SCHEMA = {"properties": {"findings": _LIST, "taken": _LIST, "stopped": _LIST, "named": _LIST}}
LONG = "Maximiliana-Theodora Featherstonehaugh"


def locator(note: str, *names: str) -> EvidenceLocator:
    """Of a note in which each of `names` is an identifier, wherever it stands."""
    findings = [
        Finding(start, start + len(name), "NAME", number)
        for number, name in enumerate(names)
        for start in range(len(note))
        if note.startswith(name, start)
    ]
    deidentified = pseudonymize([note], [sorted(findings)])
    return EvidenceLocator(deidentified.texts[0], deidentified.vault, SCHEMA)


def located(note: str, quotes: list[str], *names: str) -> list[tuple[str, int, int]]:
    document = locator(note, *names).locate({"findings": [{"evidence": quote} for quote in quotes]})
    places = [finding["evidence"] for finding in document["findings"]]
    assert all(note[place["start"] : place["end"]] == place["quote"] for place in places)
    return [(place["quote"], place["start"], place["end"]) for place in places]


def test_a_quote_is_placed_at_its_first_occurrence():
    assert located("mg aspirin, aspirin", ["aspirin"]) == [("aspirin", 3, 10)]


def test_the_kth_repetition_is_placed_at_the_kth_occurrence():
    assert located("aspirin, aspirin", ["aspirin", "aspirin"]) == [("aspirin", 0, 7), ("aspirin", 9, 16)]


@pytest.mark.parametrize("note, count", [("aspirin", 1), ("aspirin, aspirin; xaspirin aspirin", 3)])
def test_evidence_says_how_often_its_quote_occurs(note, count):
    document = locator(note).locate({"findings": [{"evidence": "aspirin"}]})
    assert [each["evidence"]["occurrences"] for each in document["findings"]] == [count]


def test_repetitions_beyond_the_last_occurrence_are_dropped():
    assert len(located("aspirin, aspirin", ["aspirin"] * 5)) == 2


def test_a_different_finding_with_the_same_quote_is_no_repetition():
    document = locator("aspirin, aspirin").locate(
        {"findings": [{"evidence": "aspirin", "status": status} for status in ("1", "2", "1")]}
    )
    assert [(each["status"], each["evidence"]["start"]) for each in document["findings"]] == [
        ("1", 0),
        ("2", 0),
        ("1", 9),
    ]


def test_repetitions_are_counted_in_each_list_by_itself():
    draft = [{"evidence": "aspirin"}]
    document = locator("aspirin").locate({"taken": draft, "stopped": draft})
    assert len(document["taken"]) == len(document["stopped"]) == 1


def test_parts_of_words_are_no_occurrence():
    assert located("aspirin81 aspirin", ["aspirin"]) == [("aspirin", 10, 17)]


@pytest.mark.parametrize("quote", ["warfarin", "aspi", "Aspirin"])
def test_a_quote_that_does_not_stand_in_the_note_fails_the_answer(quote):
    with pytest.raises(GenerationFailed) as caught:
        located("aspirin", [quote])
    assert quote not in caught.value.message


@pytest.mark.parametrize(
    "note, names, quote, original",
    [
        ("Al takes aspirin 81mg", ["Al"], "aspirin 81mg", "aspirin 81mg"),
        (f"{LONG} takes aspirin", [LONG], "[NAME_1] takes aspirin", f"{LONG} takes aspirin"),
        ("👩‍👩‍👧 Al 🙂 aspirin", ["Al"], "[NAME_1] 🙂 aspirin", "Al 🙂 aspirin"),
        ("Sjo\u0308gren: Bo said no e\u0301lan", ["Sjo\u0308gren", "Bo"], "[NAME_2] said", "Bo said"),
        (
            "Bo, Sjo\u0308gren's nai\u0308ve",
            ["Bo"],
            "Sjo\u0308gren's nai\u0308ve",
            "Sjo\u0308gren's nai\u0308ve",
        ),
        ("a \U0010ffff Bo\r\nBo b", ["Bo"], "[NAME_1]\r\n[NAME_1] b", "Bo\r\nBo b"),
    ],
    ids=["shorter", "longer", "emoji", "marks", "marks-kept", "lines"],
)
def test_offsets_are_those_of_the_callers_own_text(note, names, quote, original):
    start = note.index(original)
    assert located(note, [quote], *names) == [(original, start, start + len(original))]


def test_identities_come_back_in_every_other_field():
    document = locator("Bo gave it to Al", "Bo", "Al").locate(
        {
            "by": "[NAME_1]",
            "findings": [{"evidence": "[NAME_2]", "who": "[NAME_2]", "count": 3}],
        }
    )
    assert document["by"] == "Bo"
    assert document["findings"] == [
        {"evidence": {"quote": "Al", "start": 14, "end": 16, "occurrences": 1}, "who": "Al", "count": 3}
    ]


def test_the_models_document_is_left_as_it_was():
    document = {"findings": [{"evidence": "aspirin"}]}
    locator("aspirin").locate(document)
    assert document == {"findings": [{"evidence": "aspirin"}]}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from(["Bo", "Annabella", "x", "🙂", "e\u0301", " ", "\n", "."]), max_size=15),
    st.data(),
)
def test_any_run_of_chunks_is_found_again(pieces, data):
    note = " ".join(pieces)
    place = locator(note, "Bo", "Annabella")
    chunks = list(place._source.chunks())
    if not chunks:
        return
    first = data.draw(st.integers(0, len(chunks) - 1))
    last = data.draw(st.integers(first, len(chunks) - 1))
    quote = place._source.text[chunks[first][0] : chunks[last][1]]
    places = located(note, [quote] * 40, "Bo", "Annabella")
    assert [start for _, start, _ in places] == sorted({start for _, start, _ in places})
    assert all(found == place._vault.restore(quote) for found, _, _ in places)


def named(note: str, **finding: str) -> list[dict]:
    required = {**_FINDING, "required": ["evidence", "name"]}
    schema = {"properties": {"findings": {"type": "array", "items": required}}}
    deidentified = pseudonymize([note], [[]])
    locator = EvidenceLocator(deidentified.texts[0], deidentified.vault, schema)
    return locator.locate({"findings": [finding]})["findings"]


@pytest.mark.parametrize("quote", ["aspirin 81 mg", "Takes aspirin", "aspirin"])
def test_evidence_that_holds_the_finding_stays(quote):
    (finding,) = named("Takes aspirin 81 mg.", name="aspirin", evidence=quote)
    assert finding["evidence"]["quote"] == quote


def test_a_part_of_a_word_is_not_the_finding():
    note = "Takes spironolactone 25 mg. Also iron 65 mg."
    (finding,) = named(note, name="iron", dose="25", evidence="spironolactone 25 mg")
    assert finding["evidence"]["quote"] == "iron"
    assert "dose" not in finding


def test_evidence_that_does_not_hold_the_finding_gives_way_to_its_own_words():
    (finding,) = named("Takes aspirin. Feels well.", name="aspirin", evidence="Feels well")
    assert finding["evidence"] == {"quote": "aspirin", "start": 6, "end": 13, "occurrences": 1}


@pytest.mark.parametrize(
    "note, dose",
    [
        ("Takes aspirin at 81 mg daily. Warfarin 5 mg.", "81"),
        ("Takes aspirin. Warfarin 5 mg.", None),
        ("Warfarin 5 mg; aspirin", None),
        ("Warfarin 5 mg\naspirin\nDigoxin 7 mg", None),
        ("aspirin 2.5 mg", "2.5"),
    ],
)
@pytest.mark.parametrize("claimed", ["81", "5", "7", "2.5"])
def test_a_value_is_kept_where_the_sentence_of_the_evidence_holds_it(note, dose, claimed):
    (finding,) = named(note, name="aspirin", evidence="aspirin", dose=claimed)
    assert finding.get("dose") == (claimed if claimed == dose else None)
