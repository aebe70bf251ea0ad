"""Social Security numbers: 45 CFR 164.514(b)(2)(i)(G)."""

import re
from collections.abc import Iterator

from server.privacy.recognizers.recognizer import Recognizer
from server.privacy.spans import Span

DASHED = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")
LABELLED = re.compile(
    r"(?<![^\W_])(?:SSN|SS#|Soc(?:ial)?\.?[\s_]*Sec(?:urity)?)\.?(?:[\s_]*(?:number|num|no)\b\.?)?(?:\s+is)?"
    r"[\s:#\"']{0,5}"
    r"(?P<value>[\dXx*]{3}[\s.-]?[\dXx*]{2}[\s.-]?\d{4})(?!\w)",
    re.IGNORECASE,
)


class SsnRecognizer(Recognizer):
    """`123-45-6789` anywhere; nine digits, also masked ones, after their label."""

    kind = "SSN"

    def find(self, text: str) -> Iterator[Span]:
        """Spans of Social Security and taxpayer numbers."""
        for match in DASHED.finditer(text):
            yield self.span(*match.span(), 0.95)
        for match in LABELLED.finditer(text):
            yield self.span(*match.span("value"), 0.95)
