"""How a person's name is written in Latin, Greek or Cyrillic script, as parts of regular expressions.

Every repetition is bounded and every two neighbours begin with different characters, so matching is linear.
"""

import re
import unicodedata
from typing import NamedTuple

# Python's `re` has no class for capitals. The last ranges are combining accents and Vietnamese letters.
RANGES = ((0x41, 0x5A), (0xC0, 0x24F), (0x370, 0x52F), (0x1E00, 0x1EFF))
CAPITALS = "".join(chr(code) for low, high in RANGES for code in range(low, high + 1) if chr(code).isupper())
UPPER = f"[{CAPITALS}]"
LETTER = "[A-Za-zÀ-ÖØ-öø-ɏ\u0300-\u036f\u0370-\u052f\u1e00-\u1eff]"
JOINED = rf"(?:['\u2019](?![sS](?!{LETTER})){LETTER}{{1,30}}|-{LETTER}{{1,30}}){{0,3}}"

WORD = rf"(?<![\w'\u2019]){UPPER}(?:{LETTER}{{1,30}}|['\u2019](?={UPPER}){LETTER}{{2,30}}){JOINED}(?!\w)"
INITIAL = rf"(?<![\w'\u2019]){UPPER}(?:\.{UPPER}){{0,2}}(?![\w'\u2019])\.?"
GAP = r"[ \t\u00a0]{1,3}"
PARTICLE = "van|von|de|del|della|di|da|dos|das|du|la|le|las|los|der|den|ter|ten|bin|ibn|al|el|y"
PARTICLES = rf"(?:(?<!\w)(?:{PARTICLE}){GAP}){{0,3}}"

GIVEN_FIRST = rf"{PARTICLES}(?:{WORD}|{INITIAL})(?:{GAP}{PARTICLES}(?:{WORD}|{INITIAL})){{0,3}}"
NAME = rf"{GIVEN_FIRST}(?:,[ \t]?{WORD}(?:{GAP}(?:{WORD}|{INITIAL}))?)?"

TOKEN = re.compile(rf"{WORD}|{INITIAL}")
ANY_WORD = re.compile(rf"(?<![\w'\u2019]){LETTER}{{1,31}}{JOINED}(?!\w)")


class Token(NamedTuple):
    """One word or initial of a name at code points [start, end), with the full stop of an initial."""

    start: int
    end: int
    text: str

    @property
    def is_initial(self) -> bool:
        """Whether this is letters that stand for names, as in `John M. Smith` and `J.R. Smith`."""
        return all(len(letter) <= 1 for letter in self.text.split("."))


def tokens(text: str, start: int, end: int) -> list[Token]:
    """The words and initials in text[start:end]; particles are left out."""
    return [Token(*match.span(), match[0]) for match in TOKEN.finditer(text, start, end)]


def name_words(text: str) -> list[str]:
    """The words and the letters of initials in `text`, in any case, without particles; folded."""
    particles = PARTICLE.split("|")
    return [folded(word) for word in ANY_WORD.findall(text) if word not in particles]


def folded(word: str) -> str:
    """`word` as names are compared: composed accents, no case, one kind of apostrophe."""
    return unicodedata.normalize("NFC", word).casefold().replace("\u2019", "'")
