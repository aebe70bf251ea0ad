"""Dates with more than a year: 45 CFR 164.514(b)(2)(i)(C)."""

import re
from collections.abc import Iterator

from server.privacy.recognizers.recognizer import Recognizer
from server.privacy.spans import Span

MONTH = (
    r"(?P<month>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?"
    r"|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b(?:\.(?=\s*,?\s*\d))?"
)
DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
YEAR = r"(?P<year>(?:19|20)\d{2}|['\u2019]\d{2})"
DOSE = (
    r"(?!\s?(?:mg|mcg|g|kg|ml|cc|units?|tab(?:let)?s?|caps?|times|%|x|hours?|hrs?|days?|weeks?|months?|years?)"
    r"\b)"
)
WORDED = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b{MONTH}[\s-]{{1,3}}{DAY}\b(?:(?:\s*,\s*|[\s-]{{1,3}}){YEAR})?(?![\d/:]){DOSE}",
        rf"(?<![\w./-]){DAY}[\s-]{{0,3}}(?:of\s{{1,3}})?{MONTH}(?:(?:\s*,\s*|[\s-]{{0,3}}){YEAR})?(?!\w)",
        rf"\b{MONTH}(?:\s*,\s*|\s{{1,3}}|\s*of\s+){YEAR}(?!\w)",
    )
)
# Words of prose when they are not capitalized, and then a month only beside a year.
PROSE_MONTHS = frozenset({"may", "mar", "march", "jan", "jun", "dec", "sep"})
NUMERIC = re.compile(
    r"(?<![\w/.])(?<![^\d\s]-)(?:(?:19|20)\d{2}(?P<a>[-/.])\d{1,2}(?P=a)\d{1,2}(?=T\d|\b)"
    r"|\d{1,2}(?P<b>[-/.])\d{1,2}(?P=b)(?:19|20)\d{2}|\d{1,2}(?P<c>[-/])\d{1,2}(?P=c)\d{2})(?![\d/%]|[-.]\d(?!\d?/))"
    + DOSE,
    re.IGNORECASE,
)
MONTH_YEAR = re.compile(r"(?<![\w/.-])(?:0?[1-9]|1[0-2])[/-](?:19|20)\d{2}(?![\w/]|[-.]\d)")
# 3/14 is as often a dose, a ratio or a pain score: it needs a word of time before it and no measure after it.
MONTH_DAY = re.compile(
    r"\b(?:on|since|dated?|seen|admitted|discharged|admission|discharge|dob|born|until|till?|thru|through|from|of"
    r"|starting|started|due|visit|followup|follow-up|surgery|d/c|d/c'd|appt|appointment|clinic|last|next|to|between)\b"
    r"(?:\s(?:on|the|of))?[\s:]{1,3}(?P<value>\d{1,2}/\d{1,2})(?![\w/%]|[-.]\d(?!\d?/))"
    r"(?!\s{0,2}(?:of\b|pain|strength|systolic|tab|cap|strip|normal|ns\b|mg|ml|murmur|motor|bilat|in\s(?:all|the|b)"
    r"|cup|dose|pills?|full|power|reflex|stations?|positive|hpf|on\sthe\spain|out\b|severity|scale))"
    r"(?:\s?(?:-|\u2013|and|to|through|thru|until|till)\s?(?P<end>\d{1,2}/\d{1,2})(?![\w/%]|[-.]\d))?",
    re.IGNORECASE,
)
LARGEST_MONTH, LARGEST_DAY, YEAR_DIGITS = 12, 31, 4


class DateRecognizer(Recognizer):
    """Numeric and worded dates; never a lone year, an age, a dose, a fraction, a pressure or a frequency."""

    kind = "DATE"

    def find(self, text: str) -> Iterator[Span]:
        """Spans of dates, with their year where one is written."""
        for pattern in WORDED:
            for match in pattern.finditer(text):
                if match["year"] or match["month"] not in PROSE_MONTHS:
                    yield self.span(*match.span(), 0.9)
        for match in NUMERIC.finditer(text):
            if _is_day_of_year(match[0], month_first=False):
                yield self.span(*match.span(), 0.9)
        for match in MONTH_YEAR.finditer(text):
            yield self.span(*match.span(), 0.8)
        for match in MONTH_DAY.finditer(text):
            for group in ("value", "end"):
                if match[group] and _is_day_of_year(match[group], month_first=True):
                    yield self.span(*match.span(group), 0.8)


def _is_day_of_year(numeric: str, *, month_first: bool) -> bool:
    """Whether the two numbers that are not a four-digit year can be a month and a day."""
    numbers = [int(part) for part in re.split(r"\D", numeric) if len(part) < YEAR_DIGITS]
    month, day = numbers[:2] if month_first else sorted(numbers[:2])
    return 1 <= month <= LARGEST_MONTH and 1 <= day <= LARGEST_DAY
