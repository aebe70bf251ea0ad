"""Names of patients, relatives and clinicians: 45 CFR 164.514(b)(2)(i)(A).

A name is taken by what stands around it (a header, a title, a credential, a signature), by its form, or by
a given name from the list beside a capitalized word. `vocabulary` holds the words that end a name.
"""

import re
from collections.abc import Iterator

from server.privacy.recognizers.name_evidence import (
    ends_name,
    is_common,
    is_full_name,
    is_given,
    is_name,
    name_part,
)
from server.privacy.recognizers.name_grammar import (
    GAP,
    GIVEN_FIRST,
    INITIAL,
    NAME,
    PARTICLES,
    WORD,
    Token,
    tokens,
)
from server.privacy.recognizers.recognizer import Recognizer
from server.privacy.spans import Span

TITLE = r"(?<!\w)(?i:dr|mrs?|ms|miss|mx|prof|professor|doctor|nurse|sra?|srta|mme)(?:\.|(?=[ \t]))[ \t]{0,3}"
PLURAL = r"(?<!\w)(?i:drs|doctors|profs)\.?[ \t]{1,3}"
ROLE = r"(?:provider|physician|surgeon|doctor|clinician)"
HEADER = (
    r"(?<!\w)(?i:(?:patient|pt|first|last|full|legal|preferred|maiden|guarantor|subscriber|insured|member)"
    r"(?:'s)?\.?(?:\s(?:first|last|full))?(?:\s?name)?|name|attending(?:\s(?:physician|provider|md))?"
    rf"|(?:referring|ordering|primary|consulting|admitting|rendering)?\s?{ROLE}"
    r"|pcp|assistant|resident|fellow|author|nurse|therapist|technician|consultant|dictating|signed|signature"
    r"|emergency\scontact|contact|next\sof\skin|nok|spouse|wife|husband|mother|father|parent|guardian|son"
    r"|daughter|brother|sister|partner|caregiver|proxy|informant|witness|cc|dear|from|to|re)"
)
BY = (
    r"(?<!\w)(?i:(?:seen|dictated|signed|reviewed|referred|transcribed|authenticated|examined|evaluated"
    r"|performed|ordered|attested|co-?signed|verified|entered|prepared|written|interpreted|accompanied"
    r"|prescribed|read|created|documented|recorded|completed|edited|approved|administered|requested)"
    r"(?:\s(?:electronically|today|and\s\w{4,12}))?\sby"
    r"|(?:discussed|spoke|met|talked|consulted|follow(?:ed)?[\s-]?up)\s(?:with|to)|d/w|paged)"
)
CLOSING = (
    r"(?m:(?:^|[ \t])/s/[ \t]{0,3}|^[ \t]{0,8}(?i:sincerely|(?:best|kind|warm)?\s?regards|thank\syou|thanks"
    r"|respectfully|cordially|yours\struly|signed|signature)[,.:]?[ \t]*\n\s{0,8}|^--[ \t]{0,3}\n?[ \t]{0,3})"
)
RELATION = (
    r"(?<!\w)(?i:daughter|son|wife|husband|mother|mom|father|dad|sister|brother|partner|fianc[ée]e?|friend"
    r"|aunt|uncle|niece|nephew|grand(?:son|daughter|mother|father)|caregiver|spouse|named|called|name\sis"
    r"|i\sam|i['\u2019]m|this\sis)(?:\sis)?,?[ \t]"
)
CREDENTIAL = (
    r"(?:M\.?D|D\.?O|R\.?N|N\.?P|P\.?A(?:-C)?|Ph\.?D|LPN|CRNA|D\.?D\.?S|DPM|Pharm\.?D|LCSW|DNP|APRN|MBBS|FACS"
    r"|FACP|CNM)(?![\w-]|,?\s\d{5})"
)

# After these a single English word is a name as well (`Dr. Young`).
SURE = tuple(
    re.compile(rf"{label}(?P<name>{NAME})")
    for label in (
        TITLE,
        PLURAL,
        rf"{PLURAL}{WORD}(?:,| and| &)[ \t]",
        rf"{BY}[ \t]?:?[ \t]{{0,3}}(?:{TITLE})?",
        rf"{CLOSING}(?:{TITLE})?",
    )
)
LIKELY = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{HEADER}[ \t]?[:=][ \t]{{0,8}}(?:{TITLE})?(?P<name>{NAME})",
        rf"(?<!\w)(?:[Pp]t|[Pp]atient|PATIENT)\.?{GAP}(?P<name>{NAME})",
        rf"(?P<name>{GIVEN_FIRST}),?[ \t]?{CREDENTIAL}",
    )
)
RELATED = re.compile(rf"{RELATION}(?P<name>{GIVEN_FIRST})")
# The look-ahead lets a match begin inside another, as in `Chen, Smith, Mary`.
LAST_FIRST = re.compile(rf"(?=(?P<name>{PARTICLES}{WORD},[ \t]?{WORD}(?:{GAP}{INITIAL})?))")
FOLLOWING = re.compile(rf"(?:{GAP}{INITIAL})?(?:{GAP}{PARTICLES}{WORD}){{1,3}}")
WORDS = re.compile(WORD)


class NameRecognizer(Recognizer):
    """Names by context, by form (`Last, First M.`), by credential, and by a listed given name."""

    kind = "NAME"

    def find(self, text: str) -> Iterator[Span]:
        """Spans of names, without titles, credentials and the possessive `'s`."""
        for pattern in SURE:
            yield from self._labelled(text, pattern, 0.9, sure=True)
        for pattern in LIKELY:
            yield from self._labelled(text, pattern, 0.85, sure=False)
        yield from self._last_first(text)
        yield from self._related(text)
        yield from self._given(text)

    def _labelled(self, text: str, pattern: re.Pattern[str], score: float, *, sure: bool) -> Iterator[Span]:
        for match in pattern.finditer(text):
            words = tokens(text, *match.span("name"))
            kept = name_part(text, words)
            if is_name(kept, sure=sure):
                # The particles of `van der Berg` are no tokens, but part of the span.
                start = match.start("name") if kept[0] == words[0] else kept[0].start
                yield self.span(start, kept[-1].end, score)

    def _last_first(self, text: str) -> Iterator[Span]:
        for match in LAST_FIRST.finditer(text):
            last, first, *_ = tokens(text, *match.span("name"))
            if is_given(first) and not is_common(first) and not ends_name(last):
                yield self.span(*match.span("name"), 0.8)

    def _related(self, text: str) -> Iterator[Span]:
        for match in RELATED.finditer(text):
            words = name_part(text, tokens(text, *match.span("name")))
            if words and is_given(words[0]) and not is_common(words[0]):
                yield self.span(words[0].start, words[-1].end, 0.75)

    def _given(self, text: str) -> Iterator[Span]:
        """A listed given name and the capitalized words after it."""
        for match in WORDS.finditer(text):
            given = Token(*match.span(), match[0])
            if not is_given(given) or ends_name(given):
                continue
            if following := FOLLOWING.match(text, match.end()):
                words = name_part(text, [given, *tokens(text, *following.span())])
                if is_full_name(words):
                    yield self.span(given.start, words[-1].end, 0.7)
