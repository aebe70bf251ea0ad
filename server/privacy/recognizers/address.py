"""Street addresses and ZIP codes: 45 CFR 164.514(b)(2)(i)(B)."""

import re
from collections.abc import Iterator

from server.privacy.recognizers.recognizer import Recognizer
from server.privacy.spans import Span

# USPS Publication 28, appendices B (states) and C1 (street suffixes).
STATE = (
    r"(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]"
    r"|UT|V[AT]|W[AIVY])"
)
SUFFIX = (
    r"(?:(?i:Street|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Court|Ct|Place|Pl|Terrace|Ter|Circle|Cir"
    r"|Parkway|Pkwy|Highway|Hwy|Square|Sq|Trail|Trl|Alley|Loop|Plaza|Turnpike|Tpke|Crescent|Close)\b"
    r"|(?:St|ST)\b(?!\.?\s+(?i:elevation|depression|segment|change|wave|T\b|abnormal))|(?i:Way)\b"
    r"|(?:Dr|DR)\b(?!\.?[ \t]+[A-Z]))\.?"
)
STREET_WORD = r"(?:[A-ZÀ-Þ][\w'\u2019.-]{0,24}|\d{1,3}(?:st|nd|rd|th|ST|ND|RD|TH))"
UNIT = r"(?:,?\s{1,3}(?i:(?:Apt|Apartment|Unit|Suite|Ste|Room|Rm|Floor|Fl|No)\b\.?\s?\#?|\#)\s?[\w-]{1,6})?"
ZIP = r"\d{5}(?:-\d{4})?(?!\w)"
CITY = r"[A-ZÀ-Þ][\w'\u2019.-]{1,24}(?:[ ][A-ZÀ-Þ][\w'\u2019.-]{1,24}){0,2}"
PLACE = rf"{CITY},?\s{{1,3}}{STATE}\b(?:,?\s{{1,3}}{ZIP})?"
STREET = re.compile(
    rf"(?<![\w/.,-])\d{{1,6}}[A-Za-z]?[ \t]{{1,3}}(?:{STREET_WORD}[ \t]{{1,3}}){{1,4}}{SUFFIX}"
    rf"(?:[ ][NSEW]{{1,2}}\b)?{UNIT}(?:,?\s{{1,3}}{PLACE})?"
)
BOX = re.compile(rf"\bP\.?\s?O\.?\s?Box\s{{1,3}}\d{{1,7}}(?:,?\s{{1,3}}{PLACE})?", re.IGNORECASE)
CITY_ZIP = re.compile(rf"\b(?:{CITY},\s{{1,3}})?{STATE}\.?,?\s{{1,3}}{ZIP}")
LABELLED_ZIP = re.compile(rf"\bzip(?:\s?code)?\b[\s:#]{{1,4}}(?P<value>{ZIP})", re.IGNORECASE)


class AddressRecognizer(Recognizer):
    """House number, street and suffix with unit, city, state and ZIP; PO boxes; a ZIP after a state."""

    kind = "ADDRESS"

    def find(self, text: str) -> Iterator[Span]:
        """Spans of addresses; a city without a street or a ZIP is left."""
        for pattern in (STREET, BOX, CITY_ZIP):
            for match in pattern.finditer(text):
                yield self.span(*match.span(), 0.85)
        for match in LABELLED_ZIP.finditer(text):
            yield self.span(*match.span("value"), 0.85)
