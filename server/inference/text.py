"""From token ids to the text a caller sees, piece by piece, each stage holding back as little as it must."""

import codecs
from collections.abc import Collection, Sequence
from typing import Protocol

from server.engine.llama.vocabulary import Vocabulary


class TextStage(Protocol):
    """A filter over a stream of text."""

    def feed(self, text: str) -> str:
        """Take more text, return what can be shown."""
        ...

    def flush(self) -> str:
        """Return what was held back; the stream is over."""
        ...


class Detokenizer:
    """Token ids to text. Characters split over tokens appear when their last byte does.

    Control tokens have no text, but for those that are `spelled`.
    """

    def __init__(self, vocabulary: Vocabulary, spelled: Collection[int] = ()) -> None:
        self._plain = vocabulary.piece
        self._spelled = {token: vocabulary.piece(token, special=True) for token in spelled}
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, tokens: Sequence[int]) -> str:
        """Text of further tokens."""
        return self._decoder.decode(b"".join(map(self._piece, tokens)))

    def flush(self) -> str:
        """Replacement characters for bytes that never became one."""
        return self._decoder.decode(b"", final=True)

    def _piece(self, token: int) -> bytes:
        return self._spelled.get(token) or self._plain(token)


class StopMatcher:
    """Ends a stream before the stop string that is complete first, also one spread over several pieces."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """See `TextStage.feed`; after a stop string nothing more is returned."""
        if self.stopped or not self._stops:
            return "" if self.stopped else text
        self._held += text
        found = [(at + len(stop), at) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            _, cut = min(found)
            shown, self._held = self._held[:cut], ""
            return shown
        keep = max(overlap(self._held, stop) for stop in self._stops)
        shown = self._held[: len(self._held) - keep]
        self._held = self._held[len(shown) :]
        return shown

    def flush(self) -> str:
        """See `TextStage.flush`."""
        shown, self._held = self._held, ""
        return shown


def overlap(text: str, awaited: str) -> int:
    """Length of the longest tail of `text` that is a proper beginning of `awaited`."""
    longest = min(len(awaited) - 1, len(text))
    return next((size for size in range(longest, 0, -1) if text.endswith(awaited[:size])), 0)
