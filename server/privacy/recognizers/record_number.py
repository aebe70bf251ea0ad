"""Record, account, plan and licence numbers: 45 CFR 164.514(b)(2)(i)(H) to (K) and (M)."""

import re
from collections.abc import Iterator

from server.privacy.recognizers.recognizer import Recognizer
from server.privacy.spans import Span

DESIGNATOR = r"(?:numbers?|num|no|nr|id|identifier|\#)"
# These words name nothing but a number.
NUMBER_LABEL = (
    r"(?:MRN|MR\s?\#|MRN?\s+no|medical[\s_]*record|CSN|HAR|FIN|acct|NPI|patient[\s_]*id|chart\s?\#)"
)
# These words also stand in prose ("Visit 2"), so a designator or a colon must follow, and more digits.
PROSE_LABEL = (
    r"(?:account|encounter|visit|case|chart|record|accession|member|subscriber|policy|group|plan|insurance|medicare"
    r"|medicaid|beneficiary|licen[cs]e|certificate|DEA|serial|device|hospital|admission)"
)
# Labels are also keys of JSON: "patient_mrn": "00482913".
BEGIN = r"(?<![^\W_])"
CODE = r"[A-Za-z]{0,5}-?\d[\dA-Za-z]{%d,19}(?:-[\dA-Za-z]{1,12}){0,3}"
NUMBER = re.compile(
    rf"{BEGIN}{NUMBER_LABEL}(?:[\s_]*{DESIGNATOR})?\.?(?:\s+is)?[\s:#=.(\"']{{1,5}}"
    rf"(?P<value>{CODE % 1})(?!\w)",
    re.IGNORECASE,
)
PROSE = re.compile(
    rf"{BEGIN}{PROSE_LABEL}(?:[\s_]*{DESIGNATOR}\.?(?:\s+is)?[\s:#=\"']{{0,5}}|[\"']?\s*[:#]\s*[\"']?)"
    rf"(?P<value>{CODE % 3})(?!\w)",
    re.IGNORECASE,
)

# Medicare Beneficiary Identifier, 42 U.S.C. 1395b-10; the format is published by the CMS.
MEDICARE = re.compile(r"(?<![\w-])[1-9][A-Z][\dA-Z]\d-?[A-Z][\dA-Z]\d-?[A-Z]{2}\d{2}(?![\w-])")


class RecordNumberRecognizer(Recognizer):
    """Numbers after their label (MRN, MR#, Acct, Encounter no); without one they look like lab values."""

    kind = "MRN"

    def find(self, text: str) -> Iterator[Span]:
        """Spans of the numbers, without their labels, and of Medicare identifiers."""
        for pattern in (NUMBER, PROSE):
            for match in pattern.finditer(text):
                yield self.span(*match.span("value"), 0.85)
        for match in MEDICARE.finditer(text):
            yield self.span(*match.span(), 0.85)
