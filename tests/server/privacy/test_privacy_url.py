import pytest

from server.privacy.recognizers.url import UrlRecognizer

RECOGNIZER = UrlRecognizer()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://chart.example.org/p/1?x=2.", "https://chart.example.org/p/1?x=2"),
        ("(www.example.org/maria)", "www.example.org/maria"),
        ("FTP://files.example.org", "FTP://files.example.org"),
        ("from 192.168.12.7.", "192.168.12.7"),
        ("from 2001:db8::8a2e:370:7334", "2001:db8::8a2e:370:7334"),
    ],
)
def test_finds(found, text, expected):
    assert found(RECOGNIZER, text) == {expected}


@pytest.mark.parametrize(
    "text",
    [
        "at 12:30:45",
        "version 1.2.3",
        "ratio 300.1.1.1",
        "pH 7.35, pCO2 40",
    ],
)
def test_leaves(found, text):
    assert found(RECOGNIZER, text) == set()
