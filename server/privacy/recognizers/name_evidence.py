"""Whether capitalized words are a person's name, judged by the word lists of `vocabulary`."""

from server.privacy.recognizers.name_grammar import Token, folded
from server.privacy.recognizers.vocabulary import clinical_terms, common_words, eponyms, given_names, surnames

LONGEST_ABBREVIATION = 4


def name_part(text: str, words: list[Token]) -> list[Token]:
    """`words` from the first that can be of a name, up to the first that cannot."""
    while words and ends_name(words[0]):
        words = [] if _stands_before_comma(text, words[0]) else words[1:]
    for index, word in enumerate(words[1:], start=1):
        listed = _stands_before_comma(text, words[index - 1]) and not is_given(word) and is_common(word)
        if listed or ends_name(word) or _is_abbreviation(word, words[0]):
            return words[:index]
    return words


def is_name(words: list[Token], *, sure: bool) -> bool:
    """Whether labelled `words` hold a name: a word that is not English, or English words that are names too.

    Where the label is `sure` a single name from the lists is enough, also one that is an English word.
    """
    full = [word for word in words if not word.is_initial]
    if any(not is_common(word) for word in full):
        return True
    if not full or not _is_listed(folded(full[-1].text)):
        return False
    return sure or (len(full) > 1 and is_given(full[0]))


def is_full_name(words: list[Token]) -> bool:
    """Whether a listed given name and what follows are a name, with no other evidence around."""
    given, *rest = [word for word in words if not word.is_initial]
    doubtful = is_common(given) or folded(given.text) in eponyms()
    return bool(rest) and not (doubtful and is_common(rest[-1]))


def ends_name(word: Token) -> bool:
    """Whether `word` is no part of a name: clinical, or English and on no list of names."""
    return not word.is_initial and all(
        part in clinical_terms() or (part in common_words() and not _is_listed(part))
        for part in folded(word.text).split("-")
    )


def is_given(word: Token) -> bool:
    """Whether `word`, or the first part of a double name, is on the list of given names."""
    return folded(word.text).partition("-")[0] in given_names()


def is_common(word: Token) -> bool:
    """Whether `word` is an English word, whatever else it is."""
    return folded(word.text) in common_words()


def _stands_before_comma(text: str, word: Token) -> bool:
    return text.startswith(",", word.end)


def _is_listed(word: str) -> bool:
    return word in surnames() or word in given_names()


def _is_abbreviation(word: Token, first: Token) -> bool:
    """Whether `word` is an abbreviation behind a name that is not in capitals, as in `Maria Alvarez HTN`."""
    short = not word.is_initial and len(word.text) <= LONGEST_ABBREVIATION
    return short and word.text.isupper() and not first.text.isupper() and not is_given(word)
