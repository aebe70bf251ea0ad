"""From the document the model wrote to the one the caller gets: evidence located, identities restored."""

import json
from collections import Counter
from typing import Any

from server.errors import GenerationFailed
from server.grammar.spans import SourceText
from server.privacy.pseudonyms import PseudonymizedText, Vault

Document = dict[str, Any]


class EvidenceLocator:
    """Places quotes of the pseudonymized note in the caller's original.

    The rule: a finding repeated word for word k times is placed at the k-th occurrence of its quote, and
    dropped once the quote has no further occurrence; every other finding at the quote's first occurrence.
    """

    def __init__(self, note: PseudonymizedText, vault: Vault) -> None:
        self._note = note
        self._source = SourceText(note.text, note.atoms)
        self._vault = vault

    def locate(self, document: Document) -> Document:
        """A copy of `document` with each list's findings located and all strings restored."""
        return {
            key: self._findings(value) if isinstance(value, list) else self._restored(value)
            for key, value in document.items()
        }

    def _findings(self, drafts: list[Document]) -> list[Document]:
        seen: Counter[str] = Counter()
        findings = []
        for draft in drafts:
            identity = json.dumps(draft, sort_keys=True)
            evidence = self._evidence(draft["evidence"], seen[identity])
            seen[identity] += 1
            if evidence is not None:
                restored = {key: self._restored(value) for key, value in draft.items()}
                findings.append(restored | {"evidence": evidence})
        return findings

    def _evidence(self, quote: str, repetition: int) -> Document | None:
        """Offsets of the quote's occurrence number `repetition`, None where there are not so many."""
        starts = list(self._source.occurrences(quote))
        if not starts:
            raise GenerationFailed("a quote does not stand in the note")
        if repetition >= len(starts):
            return None
        start, end = self._note.original_span(starts[repetition], starts[repetition] + len(quote))
        return {"quote": self._note.original[start:end], "start": start, "end": end}

    def _restored(self, value: Any) -> Any:
        return self._vault.restore(value) if isinstance(value, str) else value
