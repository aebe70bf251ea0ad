import pytest

from server.privacy.recognizers.email import EmailRecognizer

RECOGNIZER = EmailRecognizer()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to maria.alvarez@example.org.", "maria.alvarez@example.org"),
        ("<J_SMITH+chart@Mail.Example.CO.UK>", "J_SMITH+chart@Mail.Example.CO.UK"),
        ("josé@clínica.example", "josé@clínica.example"),
    ],
)
def test_finds(found, text, expected):
    assert found(RECOGNIZER, text) == {expected}


@pytest.mark.parametrize(
    "text",
    [
        "give 2 @ 8 pm",
        "@handle",
        "a@b",
    ],
)
def test_leaves(found, text):
    assert found(RECOGNIZER, text) == set()
