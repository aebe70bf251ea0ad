from collections.abc import Callable

import pytest

from server.privacy.recognizers.recognizer import Recognizer
from server.privacy.spans import resolve


@pytest.fixture
def found() -> Callable[[Recognizer, str], set[str]]:
    """The texts that a recognizer finds, by themselves."""

    def find(recognizer: Recognizer, text: str) -> set[str]:
        return {text[span.start : span.end] for span in resolve(text, recognizer.find(text))}

    return find
