"""Telephone and fax numbers: 45 CFR 164.514(b)(2)(i)(D) and (E)."""

import re
from collections.abc import Iterator

from server.privacy.recognizers.recognizer import Recognizer
from server.privacy.spans import Span

EXTENSION = r"(?:,?\s?(?:x|ext\.?|extension)\s?\d{1,6})?(?!\w|-\d)"
# North American Numbering Plan: area code and exchange begin with 2 to 9, which an NDC (5-4-2) never fits.
NORTH_AMERICAN = re.compile(
    r"(?<![\w./+-])(?:\+?1[\s.-]?)?(?:\([2-9]\d{2}\)\s?[2-9]\d{2}[ .-]?|[2-9]\d{2}[ .-][2-9]\d{2}[ .-]"
    rf"|[2-9]\d{{2}}/[2-9]\d{{2}}-)\d{{4}}{EXTENSION}",
    re.IGNORECASE,
)
# ITU-T E.164: at most 15 digits after the plus sign.
INTERNATIONAL = re.compile(r"(?<![\w+])\+\d{1,3}(?:[\s.-]{0,2}\(?\d{1,5}\)?){2,6}(?!\w)")
# Seven digits, and ten that nothing separates, are a telephone number only where something says so.
LABELLED = re.compile(
    r"\b(?:tel(?:ephone)?|(?:cell|mobile|home|work)?\s?phone|ph|cell|mobile|fax|pager|beeper|call(?:back)?|contact|text)"
    r"\b[^\d\n+]{0,25}(?P<value>(?:\+?1[\s.-]?)?(?:\(?\d{3}\)?[\s.-]?)?\d{3}[\s.-]?\d{4})" + EXTENSION,
    re.IGNORECASE,
)
E164_DIGITS = range(8, 16)


class PhoneRecognizer(Recognizer):
    """US forms with separators, `+` forms, and bare digits after a label such as `Tel`."""

    kind = "PHONE"

    def find(self, text: str) -> Iterator[Span]:
        """Spans of telephone, fax and pager numbers."""
        for match in NORTH_AMERICAN.finditer(text):
            yield self.span(*match.span(), 0.8)
        for match in INTERNATIONAL.finditer(text):
            if sum(map(str.isdigit, match[0])) in E164_DIGITS:
                yield self.span(*match.span(), 0.8)
        for match in LABELLED.finditer(text):
            yield self.span(*match.span("value"), 0.75)
