"""How English clinical notes write doses, units, routes and frequencies; patterns of Python's `re`.

They choose what of a note may become a value; whether it does is the model's choice. A note that writes
them otherwise, or in another language, loses the value, never the finding.
"""

DOSE = r"(?<![\w.,/])\.?[\d¼-¾](?:[\d.,/¼-¾-]*[\d¼-¾])?(?![\d/])"

_AMOUNTS = (
    "mg|mcg|µg|g|kg|ml|l|units?|iu|meq|mmol|puffs?|tablets?|tabs?|capsules?|caps?|drops?|gtts?|sprays?|"
    "patch(?:es)?|%"
)
UNIT = rf"(?i:(?<![^\W\d_])(?:{_AMOUNTS})(?:/(?:kg|ml|l|h|hr|hour|day|min))?(?!\w))"

_ROUTES = (
    "po|iv|im|sc|sq|subq|sl|pr|by mouth|oral(?:ly)?|intravenous(?:ly)?|intramuscular(?:ly)?|"
    "subcut(?:aneous(?:ly)?)?|inhaled|by inhalation|nebuli[sz]ed|topical(?:ly)?|sublingual(?:ly)?|"
    "rectal(?:ly)?|vaginal(?:ly)?|intranasal(?:ly)?|nasal(?:ly)?|transdermal|ophthalmic|otic"
)
ROUTE = rf"(?i:\b(?:p\.o\.|i\.v\.|i\.m\.|s\.c\.|(?:{_ROUTES})\b))"

_TIMES = r"once|twice|(?:two|three|four|[1-6])(?: |-)?(?:times|x)"
_PERIOD = "(?:a |per )?(?:daily|nightly|weekly|monthly|day|night|week|month)"
_INTERVAL = "(?:hours?|days?|weeks?|months?|morning|evening|night|bedtime)"
_OCCASION = r"(?:at|before|after|with) (?:bedtime|night|meals|food)|in the (?:morning|evening)"
_LATIN = r"q ?\d+(?:-\d+)? ?h(?:rs?|ours?)?|q(?:d|hs|od|am|pm|id|week)|bid|tid"
_NEED = "prn|as needed"
FREQUENCY = (
    rf"(?i:\b(?:(?:{_TIMES}) {_PERIOD}|every (?:other )?(?:\d+(?:-\d+)? )?{_INTERVAL}|{_LATIN}|"
    rf"daily|nightly|weekly|monthly|{_OCCASION}|{_NEED})(?: (?:{_NEED}|{_OCCASION}))?\b)"
)

_FUNCTION_WORDS = (
    "a an the and or of to for with without on in at by from as this that who which is was are were be been "
    "being has have had not no nor denies deny denied denying none known any other both new if then "
    "but until due because since "
    "takes take taking took started start starts starting continue continues continued stop stopped stops "
    "discontinued discontinue consider considering add adding try given give gives use uses used using "
    "resume resumed prescribed hold held increase increased decrease decreased refill "
    "previously currently current prior past former last ago today yesterday week weeks month months "
    "reports reported presents seen feels well now will would should may can "
    "patient patients pt mr mrs ms dr father mother brother sister family history male female man woman "
    "yo year years old she he they his her him "
    "medications medication medicine medicines meds med drug drugs allergies allergy allergic discharge home "
    "plan assessment "
)

NOT_A_NAME = "|".join(
    [
        rf"(?i:\b(?:{'|'.join(_FUNCTION_WORDS.split())})\b)",
        r"[\d¼-¾][\w.,/-]*",
        r"[^\w\s'’-]",
        UNIT,
        ROUTE,
        FREQUENCY,
    ]
)
"""What no medication's name runs over: function words, numbers, punctuation, and the values above."""
