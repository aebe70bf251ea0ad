import gc
import time

import pytest

from server.privacy.analysis import analyze


@pytest.fixture
def no_collection():
    """A full collection takes as long as an analysis, and walks the objects of all other tests."""
    gc.disable()
    yield
    gc.enable()


def identified(*texts):
    return [
        {(found.kind, text[found.start : found.end], found.identity) for found in findings}
        for text, findings in zip(texts, analyze(texts), strict=True)
    ]


def test_a_person_found_once_is_found_in_every_text():
    texts = ["Maria alvarez called. Alvarez's leg. ALVAREZ", "Patient: Maria Alvarez", "maria alvarez, Maria"]

    assert [{written for _, written, _ in found} for found in identified(*texts)] == [
        {"Maria alvarez", "Alvarez", "ALVAREZ"},
        {"Maria Alvarez"},
        {"maria alvarez", "Maria"},
    ]
    assert {identity for found in identified(*texts) for _, _, identity in found} == {0}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Patient: John Wilson. Has Wilson disease.", "Wilson disease"),
        ("Patient: Will Okonkwo. Will return.", "Will return"),
        ("Patient: Maria Lane. Walks the lane.", "the lane"),
    ],
)
def test_a_word_of_a_name_is_left_where_it_means_another_thing(text, left):
    starts = {found.start for found in analyze([text])[0]}

    assert not starts & set(range(text.index(left), text.index(left) + len(left)))


@pytest.mark.parametrize(
    "texts",
    [
        ["(617) 555-0123", "+1 617.555.0123"],
        ["Maria@Example.org", "maria@example.ORG"],
        ["March 14,  2024", "march 14, 2024"],
        ["123-45-6789", "SSN: 123 45 6789"],
        ["MRN: ab-1234", "MRN AB1234"],
        ["42 Oak Street, Boston, MA", "42 OAK STREET Boston MA"],
    ],
    ids=["PHONE", "EMAIL", "DATE", "SSN", "MRN", "ADDRESS"],
)
def test_one_value_written_in_two_ways_is_one_identity(texts, request):
    found = analyze(texts)

    assert [[(finding.kind, finding.identity) for finding in findings] for findings in found] == [
        [(request.node.callspec.id, 0)],
        [(request.node.callspec.id, 0)],
    ]


@pytest.mark.parametrize(
    "texts",
    [
        ["MRN: 00482913", "Sticker 00482913 affixed"],
        ["given (00482913).", "MRN: 00482913"],
        ["Medicare 1EG4-TE5-MK73", "see 1eg4-te5-mk73"],
        ["SSN 123456789", "on file 123456789;"],
        ["Tel 6175550123", "reached at 6175550123"],
        ["Tel (617)5550123", "reached at (617)5550123"],
        ["Mail maria@example.org", "cc:.Maria@Example.org"],
        ["From 192.168.12.7 today", "host.192.168.12.7"],
        ["At https://example.org/P", "see HTTPS://EXAMPLE.ORG/p"],
        ["At 42 Oak Street.", "left 42 oak street for"],
        ["zip code 02139", "moved to 02139"],
    ],
)
def test_a_value_found_once_is_found_wherever_it_is_written(texts):
    found = analyze(texts)

    assert [len(findings) for findings in found] == [1, 1]
    assert found[0][0].kind == found[1][0].kind
    assert {finding.identity for findings in found for finding in findings} == {0}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("MRN: 12", "give 12 mg"),
        ("MRN 4711", "WBC 4711"),
        ("MR# 10-20", "give 10-20 mg"),
        ("MRN: 2024-03", "in 2024-03"),
        ("MRN: 00482913", "lot 004829135, A00482913"),
        ("MRN: AB-12", "Room AB-12"),
    ],
)
def test_a_number_that_may_mean_another_thing_is_left(text, left):
    assert [len(findings) for findings in analyze([text, left])] == [1, 0]


def test_a_date_stays_a_date_where_a_number_is_written_like_it():
    (number,), (date,) = analyze(["MR# 03-14-2024 x", "came 03-14-2024"])

    assert (number.kind, date.kind) == ("MRN", "DATE")


@pytest.mark.parametrize(
    ("doctor", "same"),
    [
        ("Dr. Smith", False),
        ("Doctor: Smith", False),
        ("Prof. J. Smith", False),
        ("Nurse Smith", False),
        ("Drs. Petrov and Smith", False),
        ("J. Smith, MD", False),
        ("J. Smith PA-C", False),
        ("Mr. Smith", True),
        ("Miss Smith", True),
        ("then Smith", True),
        ("Dr. John Smith. Later Dr. Smith", True),
        ("John Smith, RN. Nurse Smith", True),
    ],
)
def test_a_professional_title_joins_a_professional_alone(doctor, same):
    (first, *_, last) = analyze(["Patient: John Smith", doctor])

    assert (first[0].identity == last[-1].identity) is same


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "A ",
        "1 ",
        "1/2/",
        "a.b@",
        "Aa-",
        ":a",
        "Smith, Mary, ",
        "Jan ",
        "call ",
        " ",
        "123 Aa ",
        "[NAME_",
        "www.",
        "MRN 10000 ",
        "www.a.www.b ",
        "Dr. ",
    ],
)
def test_time_is_linear(unit, no_collection):
    def seconds(length: int) -> float:
        begin = time.process_time()
        analyze([unit * (length // len(unit))])
        return time.process_time() - begin

    assert seconds(40_000) < 8 * max(seconds(10_000), 0.02)
