import pytest

from server.privacy.recognizers.phone import PhoneRecognizer

RECOGNIZER = PhoneRecognizer()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(617) 555-0123", "(617) 555-0123"),
        ("617-555-0123", "617-555-0123"),
        ("617.555.0123.", "617.555.0123"),
        ("617 555-0123", "617 555-0123"),
        ("+1 617 555 0123", "+1 617 555 0123"),
        ("1-800-555-0199 x12", "1-800-555-0199 x12"),
        ("+44 20 7946 0958", "+44 20 7946 0958"),
        ("+49 (0)30 901820", "+49 (0)30 901820"),
        ("Fax: 555-0199", "555-0199"),
        ("Tel 6175550123", "6175550123"),
        ("(daughter) 718 555 0155", "718 555 0155"),
        ("cell phone is 617 555 0123", "617 555 0123"),
    ],
)
def test_finds(found, text, expected):
    assert found(RECOGNIZER, text) == {expected}


@pytest.mark.parametrize(
    "text",
    [
        "NDC 12345-6789-01",
        "NDC 0093-4155-73",
        "WBC 123 456 7890",
        "platelets 150-400",
        "+2 edema, +3 reflexes",
        "BP 120/80, HR 72",
        "troponin 0.01-0.04",
        "6175550123",
    ],
)
def test_leaves(found, text):
    assert found(RECOGNIZER, text) == set()
