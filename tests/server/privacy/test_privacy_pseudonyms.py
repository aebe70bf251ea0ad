import json

import pytest

from server.privacy.analysis import analyze
from server.privacy.pseudonyms import Deidentified, pseudonymize


def deidentified(*texts: str) -> Deidentified:
    return pseudonymize(texts, analyze(texts))


def test_numbers_follow_first_appearance_and_stay_as_the_history_grows():
    turns = [
        "Patient: Maria Alvarez, MRN 4711",
        "Seen by Dr. Okonkwo on 3/14",
        "Alvarez called (617) 555-0123",
    ]

    written = [text.text for text in deidentified(*turns).texts]

    assert written == [
        "Patient: [NAME_1], MRN [MRN_1]",
        "Seen by Dr. [NAME_2] on [DATE_1]",
        "[NAME_1] called [PHONE_1]",
    ]
    assert [text.text for text in deidentified(*turns[:2]).texts] == written[:2]


def test_counts_are_of_identities():
    vault = deidentified("Patient: Maria Alvarez. Alvarez saw Dr. Okonkwo, MRN 4711.").vault

    assert dict(vault.counts) == {"NAME": 2, "MRN": 1}


def test_restores_the_identity_as_first_written():
    vault = deidentified("SMITH, JOHN was seen. Mr. Smith left.").vault

    assert vault.restore("[NAME_1] and [NAME_2]") == "SMITH, JOHN and [NAME_2]"


def test_a_doctor_is_not_restored_as_the_patient_of_that_name():
    note = "Patient: John Smith. Dr. Smith recommends aspirin. Mr. Smith agrees."
    result = deidentified(note)

    assert result.texts[0].text == "Patient: [NAME_1]. Dr. [NAME_2] recommends aspirin. Mr. [NAME_1] agrees."
    assert result.vault.restore("Dr. [NAME_2], [NAME_1]") == "Dr. Smith, John Smith"


def test_a_pseudonym_that_the_caller_wrote_is_never_assigned():
    result = deidentified("[NAME_1] saw Maria Alvarez", "[NAME_3] saw Dr. Okonkwo")

    assert [text.text for text in result.texts] == ["[NAME_1] saw [NAME_2]", "[NAME_3] saw Dr. [NAME_4]"]
    assert result.vault.restore("[NAME_1], [NAME_2]") == "[NAME_1], Maria Alvarez"


def test_one_pseudonym_is_never_taken_for_another():
    names = ["Maria Alvarez", "José Núñez", "John Petrov", "Anne Okonkwo", "Julia Nguyen"]
    names += ["Peter Quispe", "Sarah Kowalski", "Emma Haddad", "David Osei", "Laura Ivanova"]
    vault = deidentified("; ".join(names)).vault

    assert vault.restore("[NAME_10][NAME_1]0]") == "Laura IvanovaMaria Alvarez0]"


def test_offsets_of_the_original():
    (text,) = deidentified("né: Maria Alvarez, 61, MRN 4711.").texts
    begin = text.text.index("61")

    assert text.atoms == ((4, 12), (22, 29))
    assert text.original_span(begin, begin + 2) == (19, 21)
    assert text.original_span(0, len(text.text)) == (0, len(text.original))
    assert text.original_span(4, 12) == (4, 17)
    assert text.original_span(4, 4) == (4, 4)
    assert text.original_span(12, 12) == (17, 17)


@pytest.mark.parametrize(("start", "end"), [(5, 20), (0, 5), (0, 11), (13, 12), (-1, 3), (0, 99)])
def test_a_bound_inside_a_pseudonym_is_refused(start, end):
    (text,) = deidentified("né: Maria Alvarez, 61, MRN 4711.").texts

    with pytest.raises(ValueError, match=r"span|bound"):
        text.original_span(start, end)


def test_no_text_in_a_representation():
    result = deidentified("Patient: Maria Alvarez")

    assert "Patient" not in repr(result)
    assert "Alvarez" not in repr((result.vault, result.vault.restorer()))


def test_originals_are_escaped_inside_json():
    vault = deidentified(
        '42 Oak Street\nSan "X", MA', "1600 Elm Ave\nPortland, OR 97201", "told José Núñez"
    ).vault
    restorer = vault.restorer(json=True)

    answer = restorer.feed('{"place": "[ADDRESS_2] / [NAME_') + restorer.feed('1]"}') + restorer.flush()

    assert json.loads(answer) == {"place": "1600 Elm Ave\nPortland, OR 97201 / José Núñez"}
    assert "José" in answer


def test_a_text_may_be_restored_as_it_was_spelled_itself():
    result = deidentified("Patient: John Smith", "SMITH, JOHN", "John Smith", "Mr. Smith, or SMITH, JOHN")

    assert [text.text for text in result.texts[1:3]] == ["[NAME_1]", "[NAME_1]"]
    assert [text.spelled for text in result.texts[1:3]] == ["[NAME_1_2]", "[NAME_1]"]
    assert [result.vault.restore(text.spelled) for text in result.texts] == [
        text.original for text in result.texts
    ]
    assert dict(result.vault.counts) == {"NAME": 1}


def test_the_pseudonym_of_a_spelling_that_the_caller_wrote_is_never_assigned():
    result = deidentified("[NAME_1_2]: John Smith", "SMITH, JOHN")

    assert result.texts[1].spelled == "[NAME_1_3]"
    assert result.vault.restore(result.texts[0].spelled) == "[NAME_1_2]: John Smith"


def test_places_in_a_text_as_it_was_spelled():
    [_, text] = deidentified("Patient: John Smith", "Seen: SMITH, JOHN at noon").texts

    assert [text.spelled[start:end] for start, end in text.spelled_atoms] == ["[NAME_1_2]"]
    assert [text.text[start:end] for start, end in text.atoms] == ["[NAME_1]"]
