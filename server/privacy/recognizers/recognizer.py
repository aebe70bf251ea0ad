"""What every recognizer of this package shares: a kind, and the spans it finds in a text."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from presidio_analyzer import LocalRecognizer, RecognizerResult

from server.privacy.spans import Kind, Span


class Recognizer(LocalRecognizer):
    """Finds one kind of identifier by rules of its own.

    Presidio's `PatternRecognizer` is not the base: it skips a pattern that ran out of time, so it fails open.
    """

    kind: ClassVar[Kind]

    def __init__(self) -> None:
        super().__init__(supported_entities=[self.kind])

    def load(self) -> None:
        """Presidio's hook; there is nothing to load."""

    @abstractmethod
    def find(self, text: str) -> Iterable[Span]:
        """The spans of `text` that hold an identifier; they may overlap."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: object) -> list[RecognizerResult]:
        """Presidio's entry: the spans as its results. No token of `nlp_artifacts` is used."""
        del nlp_artifacts
        if self.kind not in entities:
            return []
        return [RecognizerResult(self.kind, span.start, span.end, span.score) for span in self.find(text)]

    def span(self, start: int, end: int, score: float) -> Span:
        """A span of this recognizer's kind."""
        return Span(start, end, self.kind, score)
