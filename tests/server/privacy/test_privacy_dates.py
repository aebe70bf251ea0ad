import pytest

from server.privacy.recognizers.dates import DateRecognizer

RECOGNIZER = DateRecognizer()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("03/14/2024", "03/14/2024"),
        ("3-14-24", "3-14-24"),
        ("2024-03-14T08:00", "2024-03-14"),
        ("14.03.2024", "14.03.2024"),
        ("March 14, 2024", "March 14, 2024"),
        ("march 14, 2024", "march 14, 2024"),
        ("14 Mar 2024", "14 Mar 2024"),
        ("14-MAR-2024", "14-MAR-2024"),
        ("14th of March 2024", "14th of March 2024"),
        ("on Mar 14.", "Mar 14"),
        ("May 5th", "May 5th"),
        ("in March 2024", "March 2024"),
        ("since 03/2024", "03/2024"),
        ("seen on 3/14", "3/14"),
        ("admitted 3/14 with pain", "3/14"),
        ("DOB: 3/14", "3/14"),
        ("DOB 5/6/58", "5/6/58"),
        ("10 May.", "10 May"),
        ("Jan. 9, 2024", "Jan. 9, 2024"),
    ],
)
def test_finds(found, text, expected):
    assert found(RECOGNIZER, text) == {expected}


@pytest.mark.parametrize(
    "text",
    [
        "in 2019",
        "61 year old",
        "BP 120/80",
        "on 120/80",
        "hydrocodone 5/325 mg",
        "1/2 tablet",
        "on 1/2 tablet daily",
        "2-3 times daily",
        "q4-6h",
        "10-20 mg",
        "3/10 pain",
        "pain of 3/10 in the hip",
        "1-2 tablets",
        "strength 5/5",
        "may 5 mg be given",
        "may 10",
        "I/II",
        "L4-5",
        "GCS 3/15",
        "on 24/7 care",
    ],
)
def test_leaves(found, text):
    assert found(RECOGNIZER, text) == set()


@pytest.mark.parametrize(
    "text", ["6/7/2023-6/9/2023", "from 6/7 to 6/9", "between 6/7 and 6/9", "on 6/7-6/9"]
)
def test_both_ends_of_a_range(found, text):
    assert len(found(RECOGNIZER, text)) == 2
