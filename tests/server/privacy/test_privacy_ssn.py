import pytest

from server.privacy.recognizers.ssn import SsnRecognizer

RECOGNIZER = SsnRecognizer()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SSN: 123-45-6789", "123-45-6789"),
        ("on file 123-45-6789.", "123-45-6789"),
        ("SSN 123456789", "123456789"),
        ("Social Security Number: 123 45 6789", "123 45 6789"),
        ("ssn xxx-xx-6789", "xxx-xx-6789"),
        ('{"ssn": "123456789"}', "123456789"),
        ('{"social_security_number":123456789}', "123456789"),
    ],
)
def test_finds(found, text, expected):
    assert found(RECOGNIZER, text) == {expected}


@pytest.mark.parametrize(
    "text",
    [
        "NDC 12345-6789-01",
        "123456789",
        "phone 617-555-0123",
    ],
)
def test_leaves(found, text):
    assert found(RECOGNIZER, text) == set()
