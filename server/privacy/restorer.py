"""Pseudonyms back to identities in a stream that arrives in pieces."""

import json
import re
from collections.abc import Mapping
from typing import get_args

from server.privacy.spans import Kind

PSEUDONYM = re.compile(rf"\[(?P<kind>{'|'.join(get_args(Kind))})_(?P<number>\d+)(?:_(?P<spelling>\d+))?\]")


def restore(text: str, originals: Mapping[str, str]) -> str:
    """`text` with every pseudonym that is a key of `originals` replaced, in one pass; other text is left."""
    return PSEUDONYM.sub(lambda match: originals.get(match[0], match[0]), text)


class Restorer:
    """Restores a stream. Only a tail that may still become a known pseudonym is held back."""

    def __init__(self, originals: Mapping[str, str], *, json: bool = False) -> None:
        self._originals = {name: _escaped(text) for name, text in originals.items()} if json else originals
        self._beginnings = {name[:length] for name in originals for length in range(1, len(name))}
        self._held = ""

    def feed(self, text: str) -> str:
        """What can be shown after `text` arrived; less than the longest pseudonym is held back."""
        arrived = self._held + text
        opening = arrived.rfind("[")
        complete = len(arrived) if opening < 0 or arrived[opening:] not in self._beginnings else opening
        self._held = arrived[complete:]
        return restore(arrived[:complete], self._originals)

    def flush(self) -> str:
        """What was held back when the stream ended: the beginning of a pseudonym that was never closed."""
        held, self._held = self._held, ""
        return held


def _escaped(text: str) -> str:
    """`text` as it stands between the quotes of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]
