"""The word lists behind the name rules, all case-folded, each read once.

Given names and surnames: the person providers of Faker (MIT licence), which take them from the US Census
Bureau and other national registers, with `nicknames.txt`. English words: spaCy's stop words and Faker's lorem
list (both MIT), with `common_words.txt`. Clinical words and eponyms: `clinical_terms.txt`, `eponyms.txt`.
"""

import importlib
from functools import cache
from pathlib import Path

from faker.providers.lorem.en_US import Provider as EnglishWords
from spacy.lang.en.stop_words import STOP_WORDS

# Latin script; Turkish is left out, since hundreds of its names are English or clinical words.
ENGLISH = ("en_US", "en_GB", "en_IE")
EUROPEAN = ("de_DE", "es_ES", "fr_FR", "it_IT", "nl_NL", "pl_PL", "pt_PT", "sv_SE")
AMERICAN = ("es_MX", "pt_BR")
SHORTEST_GIVEN_NAME = 3


@cache
def given_names() -> frozenset[str]:
    """Given names, the parts of double ones each for itself, and nicknames."""
    locales = (*ENGLISH, *EUROPEAN, *AMERICAN)
    providers = [importlib.import_module(f"faker.providers.person.{locale}").Provider for locale in locales]
    names = {
        part.casefold()
        for provider in providers
        for listed in (provider.first_names_female, provider.first_names_male)
        for name in listed
        for part in name.split()
    }
    return _listed("nicknames.txt") | {name for name in names if len(name) >= SHORTEST_GIVEN_NAME}


@cache
def surnames() -> frozenset[str]:
    """The thousand most frequent surnames of the US census."""
    provider = importlib.import_module("faker.providers.person.en_US").Provider
    return frozenset(name.casefold() for name in provider.last_names)


@cache
def common_words() -> frozenset[str]:
    """English words; some are names as well, and then other evidence must decide."""
    return _listed("common_words.txt") | STOP_WORDS | {word.casefold() for word in EnglishWords.word_list}


@cache
def clinical_terms() -> frozenset[str]:
    """Words of headings, drugs, anatomy, tests and credentials: never part of a name."""
    return _listed("clinical_terms.txt")


@cache
def eponyms() -> frozenset[str]:
    """Names of diseases, signs and devices that were persons once."""
    return _listed("eponyms.txt")


def _listed(file: str) -> frozenset[str]:
    lines = (Path(__file__).parent / file).read_text("utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())
