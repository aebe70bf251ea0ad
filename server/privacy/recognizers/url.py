"""Web addresses and IP addresses: 45 CFR 164.514(b)(2)(i)(N) and (O)."""

import re
from collections.abc import Iterator
from ipaddress import ip_address

from server.privacy.recognizers.recognizer import Recognizer
from server.privacy.spans import Span

URL = re.compile(r"\b(?:(?:https?|s?ftp)://|www\.)[^\s<>\"'\[\]{}|\\^`]{2,2000}", re.IGNORECASE)
IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\w)")
IPV6 = re.compile(r"(?<![\w:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")


class UrlRecognizer(Recognizer):
    """URLs with a scheme or `www.`, IPv4 and IPv6 addresses (RFC 791, RFC 4291)."""

    kind = "URL"

    def find(self, text: str) -> Iterator[Span]:
        """Spans of web and IP addresses, without the punctuation that ends their sentence."""
        for match in URL.finditer(text):
            yield self.span(match.start(), match.start() + len(match[0].rstrip(".,;:!?)")), 0.95)
        for pattern in (IPV4, IPV6):
            for match in pattern.finditer(text):
                if _is_ip_address(match[0]):
                    yield self.span(*match.span(), 0.9)


def _is_ip_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
