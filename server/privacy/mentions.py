"""Every other place where a known person is named: a name missed the second time is a leak."""

import re
from collections.abc import Iterator

from server.privacy.people import People
from server.privacy.recognizers.name_grammar import ANY_WORD, INITIAL, Token, folded
from server.privacy.recognizers.vocabulary import clinical_terms, common_words, eponyms
from server.privacy.spans import Span

BETWEEN = re.compile(rf"(?:,?[ \t\u00a0]{{1,3}}|,)(?:{INITIAL}[ \t\u00a0]{{1,3}})?")
NEXT_WORD = re.compile(r"(?:['\u2019]s)?\s{1,3}(\w+)")
SCORE = 0.5


def mentions(text: str, people: People) -> Iterator[Span]:
    """Spans of full names in any case, and of given names and surnames as capitalized words."""
    for run in _runs(text, people):
        start, end = run[0].start, run[-1].end
        if len(run) > 1 and people.knows(text[start:end]):
            yield Span(start, end, "NAME", SCORE)
        else:
            meant = (word for word in run if _names_person(text, word))
            yield from (Span(word.start, word.end, "NAME", SCORE) for word in meant)


def _runs(text: str, people: People) -> Iterator[list[Token]]:
    """Known words that stand side by side, with at most a comma or an initial between."""
    run: list[Token] = []
    for match in ANY_WORD.finditer(text):
        if folded(match[0]) not in people.words:
            continue
        if run and not _belong(text[run[-1].end : match.start()], run):
            yield run
            run = []
        run.append(Token(*match.span(), match[0]))
    if run:
        yield run


def _belong(between: str, run: list[Token]) -> bool:
    """Whether what stands between joins a run and a word; a comma does only behind a surname."""
    return BETWEEN.fullmatch(between) is not None and (len(run) == 1 or "," not in between)


def _names_person(text: str, word: Token) -> bool:
    """Whether a single known word means the person here, and not an English word, a month or a disease."""
    if not word.text[0].isupper():
        return False
    known = folded(word.text)
    if known in eponyms():
        following = NEXT_WORD.match(text, word.end)
        return following is None or folded(following[1]) not in clinical_terms()
    if known in common_words() or known in clinical_terms():
        return _stands_inside_sentence(text, word)
    return True


def _stands_inside_sentence(text: str, word: Token) -> bool:
    """Whether a word comes right before, so that the capital is not that of a sentence or a line."""
    before = text[max(0, word.start - 2) : word.start]
    return before[-1:] == " " and (before[:1].isalnum() or before[:1] == ",")
