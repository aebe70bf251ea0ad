import time

import pytest

from server.privacy.analysis import analyze


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
    ],
)
def test_time_is_linear(unit):
    def seconds(length: int) -> float:
        begin = time.process_time()
        analyze([unit * (length // len(unit))])
        return time.process_time() - begin

    assert seconds(40_000) < 8 * max(seconds(10_000), 0.02)
