"""E-mail addresses: 45 CFR 164.514(b)(2)(i)(F)."""

import re
from collections.abc import Iterator

from server.privacy.recognizers.recognizer import Recognizer
from server.privacy.spans import Span

# The lengths are those of RFC 5321, section 4.5.3.1; they also bound the backtracking.
EMAIL = re.compile(r"(?<![\w.+%-])[\w][\w.+%'-]{0,63}@(?:[^\W_][\w-]{0,62}\.){1,8}[^\W\d_]{2,24}(?!\w)")


class EmailRecognizer(Recognizer):
    """`local@domain.tld`. Presidio's own recognizer asks the network for the list of public suffixes."""

    kind = "EMAIL"

    def find(self, text: str) -> Iterator[Span]:
        """Spans of e-mail addresses."""
        for match in EMAIL.finditer(text):
            yield self.span(*match.span(), 0.95)
