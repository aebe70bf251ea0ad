import pytest

from server.privacy.recognizers.address import AddressRecognizer

RECOGNIZER = AddressRecognizer()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lives at 42 Oak Street.", "42 Oak Street."),
        ("12 N. Main St, Apt 3B, Springfield, MA 01101", "12 N. Main St, Apt 3B, Springfield, MA 01101"),
        ("1600 West 5th Ave\nPortland, OR 97201-1234", "1600 West 5th Ave\nPortland, OR 97201-1234"),
        ("7 MAPLE LN", "7 MAPLE LN"),
        ("221 Elm Dr, Boston, MA", "221 Elm Dr, Boston, MA"),
        ("P.O. Box 991, Salem, MA 01970", "P.O. Box 991, Salem, MA 01970"),
        ("from Worcester, MA 01602", "Worcester, MA 01602"),
        ("TX 75001", "TX 75001"),
        ("zip code 02139", "02139"),
    ],
)
def test_finds(found, text, expected):
    assert found(RECOGNIZER, text) == {expected}


@pytest.mark.parametrize(
    "text",
    [
        "12 Lead ST elevation",
        "Room 12 Attending Dr. Smith",
        "5 mg daily",
        "2 weeks on the road",
        "glucose 10200",
    ],
)
def test_leaves(found, text):
    assert found(RECOGNIZER, text) == set()
