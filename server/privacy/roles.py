"""Whether a name is written as that of a clinician: a doctor is not the patient of the same surname."""

import re

from server.privacy.recognizers.name_grammar import WORD
from server.privacy.recognizers.names import CREDENTIAL

TITLED = re.compile(
    r"(?<!\w)(?i:dr|doctor|prof|professor|nurse)(?:[.:]|(?=[ \t]))[ \t]{0,3}\Z"
    rf"|(?<!\w)(?i:drs|doctors|profs|professors|nurses)\.?[ \t]{{1,3}}(?:{WORD}(?:,| and| &)[ \t])?\Z"
)
CREDENTIALED = re.compile(rf",?[ \t]?{CREDENTIAL}")
LONGEST_TITLE = 80  # code points, with the other name of `Drs. Petrov and Okonkwo`


def is_professional(text: str, start: int, end: int) -> bool:
    """Whether the name text[start:end] stands behind a professional title or before a credential."""
    titled = TITLED.search(text, max(0, start - LONGEST_TITLE), start)
    return titled is not None or CREDENTIALED.match(text, end) is not None
