"""From the document the model wrote to the one the caller gets: findings supported, located, restored."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.errors import GenerationFailed
from server.grammar.marks import QUOTE_OF, VALUE_OF
from server.grammar.spans import SourceText
from server.privacy.pseudonyms import PseudonymizedText, Vault

Document = dict[str, Any]
Schema = Mapping[str, Any]

_EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True)
class _FindingFields:
    """What of a finding its evidence must hold, and what (by pattern) the sentence around that must."""

    quoted: tuple[str, ...]
    values: Mapping[str, str]


class EvidenceLocator:
    """Places findings in the caller's original. The grammar made every text verbatim; three rules remain:

    - Evidence that does not hold what is found gives way to the finding's own words in the note.
    - A value that does not stand in the sentence of the evidence is dropped: nothing supports it.
    - A finding repeated word for word k times is placed at the k-th occurrence of its quote, and dropped
      once there is no further one; every other finding is placed at the first occurrence.
    """

    def __init__(self, note: PseudonymizedText, vault: Vault, schema: Schema) -> None:
        self._note = note
        self._source = SourceText(note.text, note.atoms)
        self._vault = vault
        self._fields = _finding_fields(schema)

    def locate(self, document: Document) -> Document:
        """A copy of `document` with each list's findings located and all strings restored."""
        return {
            key: self._findings(key, value) if isinstance(value, list) else self._restored(value)
            for key, value in document.items()
        }

    def _findings(self, key: str, drafts: list[Document]) -> list[Document]:
        seen: Counter[str] = Counter()
        findings = []
        for draft in drafts:
            quote = self._supporting_quote(draft, self._fields[key])
            identity = json.dumps(draft | {_EVIDENCE: quote}, sort_keys=True)
            finding = self._finding(draft, quote, seen[identity], self._fields[key])
            seen[identity] += 1
            if finding is not None:
                findings.append(finding)
        return findings

    def _supporting_quote(self, draft: Document, fields: _FindingFields) -> str:
        quote: str = draft[_EVIDENCE]
        held = SourceText(quote)
        missing = [draft[name] for name in fields.quoted if not list(held.occurrences(draft[name]))]
        return missing[0] if missing else quote

    def _finding(
        self, draft: Document, quote: str, repetition: int, fields: _FindingFields
    ) -> Document | None:
        """The finding at its quote's occurrence number `repetition`, None where there are not so many."""
        starts = list(self._source.occurrences(quote))
        if not starts:
            raise GenerationFailed("a quote does not stand in the note")
        if repetition >= len(starts):
            return None
        start, end = starts[repetition], starts[repetition] + len(quote)
        sentence = self._source.sentence(start, end)
        unsupported = [
            name
            for name, pattern in fields.values.items()
            if name in draft and draft[name] not in sentence.matches(pattern)
        ]
        kept = {key: self._restored(value) for key, value in draft.items() if key not in unsupported}
        return kept | {_EVIDENCE: self._evidence(start, end, len(starts))}

    def _evidence(self, start: int, end: int, occurrences: int) -> Document:
        start, end = self._note.original_span(start, end)
        quote = self._note.original[start:end]
        return {"quote": quote, "start": start, "end": end, "occurrences": occurrences}

    def _restored(self, value: Any) -> Any:
        return self._vault.restore(value) if isinstance(value, str) else value


def _finding_fields(schema: Schema) -> dict[str, _FindingFields]:
    """The marked fields of each list of findings in a draft's schema."""
    lists = {key: part for key, part in schema["properties"].items() if part.get("type") == "array"}
    return {key: _fields_of(_resolved(part["items"], schema)) for key, part in lists.items()}


def _fields_of(item: Schema) -> _FindingFields:
    choices = {
        name: choice
        for name, part in item["properties"].items()
        for choice in (part, *part.get("anyOf", ()))
        if QUOTE_OF in choice or VALUE_OF in choice
    }
    return _FindingFields(
        quoted=tuple(
            name
            for name, part in choices.items()
            if QUOTE_OF in part and name in item["required"] and name != _EVIDENCE
        ),
        values={name: part["pattern"] for name, part in choices.items() if VALUE_OF in part},
    )


def _resolved(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    return root["$defs"][reference.rsplit("/", 1)[-1]] if reference else schema
