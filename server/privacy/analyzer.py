"""Presidio's analyzer with exactly the recognizers of this package."""

from functools import cache
from typing import cast

from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerRegistry, RecognizerResult
from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer
from presidio_analyzer.nlp_engine import NlpArtifacts, NoOpNlpEngine

from server.privacy.recognizers.address import AddressRecognizer
from server.privacy.recognizers.dates import DateRecognizer
from server.privacy.recognizers.email import EmailRecognizer
from server.privacy.recognizers.names import NameRecognizer
from server.privacy.recognizers.phone import PhoneRecognizer
from server.privacy.recognizers.recognizer import Recognizer
from server.privacy.recognizers.record_number import RecordNumberRecognizer
from server.privacy.recognizers.ssn import SsnRecognizer
from server.privacy.recognizers.url import UrlRecognizer
from server.privacy.spans import Kind, Span, resolve

LANGUAGE = "en"


def recognizers() -> list[Recognizer]:
    """One of each recognizer."""
    return [
        AddressRecognizer(),
        DateRecognizer(),
        EmailRecognizer(),
        NameRecognizer(),
        PhoneRecognizer(),
        RecordNumberRecognizer(),
        SsnRecognizer(),
        UrlRecognizer(),
    ]


class NoEnhancer(ContextAwareEnhancer):
    """The recognizers judge their context themselves; Presidio's enhancer would copy every result."""

    def enhance_using_context(
        self,
        text: str,
        raw_results: list[RecognizerResult],
        nlp_artifacts: NlpArtifacts,
        recognizers: list[EntityRecognizer],
        context: list[str] | None = None,
    ) -> list[RecognizerResult]:
        """The results as they are."""
        del text, nlp_artifacts, recognizers, context
        return raw_results


@cache
def build_analyzer() -> AnalyzerEngine:
    """The analyzer of this process, with no NLP model: nothing is downloaded, nothing is tokenized."""
    return AnalyzerEngine(
        registry=RecognizerRegistry(recognizers=recognizers(), supported_languages=[LANGUAGE]),
        nlp_engine=NoOpNlpEngine(models=[{"lang_code": LANGUAGE, "model_name": ""}]),
        context_aware_enhancer=NoEnhancer(0, 0, 0, 0),
        supported_languages=[LANGUAGE],
    )


def find_identifiers(text: str) -> list[Span]:
    """Disjoint spans of the identifiers in `text`, ascending, in code points."""
    results = build_analyzer().analyze(text, language=LANGUAGE)
    return resolve(text, (_span(result) for result in results))


def _span(result: RecognizerResult) -> Span:
    return Span(result.start, result.end, cast(Kind, result.entity_type), result.score)
