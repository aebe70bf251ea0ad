"""Medications: what a note says a patient takes, took, should take or does not take."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

from schemas.clinical.common import Evidence, Provenance, quote_of, value_of

SCHEMA_VERSION = "1"
MAX_MEDICATIONS = 40

_DOSE = r"(?<![\w.,/])\.?[\d¼-¾](?:[\d.,/¼-¾-]*[\d¼-¾])?(?![\d/])"
_UNIT = (
    r"(?i:(?<![^\W\d_])(?:mg|mcg|µg|g|kg|ml|l|units?|iu|meq|mmol|puffs?|tablets?|tabs?|capsules?|caps?|drops?|gtts?|"
    r"sprays?|patch(?:es)?|%)(?:/(?:kg|ml|l|h|hr|hour|day|min))?(?!\w))"
)
_ROUTE = (
    r"(?i:\b(?:p\.o\.|i\.v\.|i\.m\.|s\.c\.|(?:po|iv|im|sc|sq|subq|sl|pr|by mouth|oral(?:ly)?|intravenous(?:ly)?|"
    r"intramuscular(?:ly)?|subcut(?:aneous(?:ly)?)?|inhaled|by inhalation|nebuli[sz]ed|topical(?:ly)?|"
    r"sublingual(?:ly)?|rectal(?:ly)?|vaginal(?:ly)?|intranasal(?:ly)?|nasal(?:ly)?|transdermal|"
    r"ophthalmic|otic)\b))"
)
_FREQUENCY = (
    r"(?i:\b(?:(?:once|twice|(?:two|three|four|[1-6])(?: |-)?(?:times|x)) (?:a |per )?(?:daily|nightly|weekly|monthly|"
    r"day|night|week|month)|every (?:other )?(?:\d+(?:-\d+)? )?(?:hours?|days?|weeks?|months?|morning|evening|night|"
    r"bedtime)|q ?\d+(?:-\d+)? ?h(?:rs?|ours?)?|q(?:d|hs|od|am|pm|id|week)|bid|tid|daily|nightly|weekly|monthly|"
    r"(?:at|before|after|with) (?:bedtime|night|meals|food)|in the (?:morning|evening)|prn|as needed)"
    r"(?: (?:prn|as needed|at bedtime|with meals|with food|in the morning))?\b)"
)


class MedicationStatus(StrEnum):
    """Assertion of the note about the medication."""

    PRESENT = "present"
    NEGATED = "negated"
    HISTORICAL = "historical"
    HYPOTHETICAL = "hypothetical"
    FAMILY = "family"


class Medication(BaseModel):
    """One medication; every text field is verbatim from the note, null where the note says nothing."""

    name: str
    dose: str | None = Field(description="The number alone, as written: `25`, `1-2`, `0.5`.")
    unit: str | None = Field(description="The dose's unit as written: `mg`, `units`, `tablets`.")
    route: str | None = Field(description="As written: `PO`, `IV`, `by mouth`.")
    frequency: str | None = Field(description="As written: `BID`, `twice daily`, `as needed`.")
    status: MedicationStatus
    evidence: Evidence


class MedicationsAnswer(BaseModel):
    """Answer of `POST /v1/clinical/medications`."""

    medications: list[Medication]
    provenance: Provenance


class MedicationDraft(BaseModel):
    """The form the model writes; what the note does not say is left out."""

    name: Annotated[str, quote_of("text", max_words=3)]
    dose: Annotated[str, value_of("text", _DOSE)] | None = None
    unit: Annotated[str, value_of("text", _UNIT)] | None = None
    route: Annotated[str, value_of("text", _ROUTE)] | None = None
    frequency: Annotated[str, value_of("text", _FREQUENCY)] | None = None
    status: MedicationStatus
    evidence: Annotated[str, quote_of("text", max_words=16)]


class MedicationsDraft(BaseModel):
    """The whole document the model writes."""

    medications: list[MedicationDraft] = Field(max_length=MAX_MEDICATIONS)
