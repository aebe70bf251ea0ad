"""Medications: what a note says a patient takes, took, should take or does not take."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

from schemas.clinical.common import Evidence, Provenance, quote_of, value_of

SCHEMA_VERSION = "1"
MAX_MEDICATIONS = 40


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
    """The form the model writes: evidence first, so that what follows can lean on it."""

    evidence: Annotated[str, quote_of("text", max_words=24)]
    name: Annotated[str, quote_of("text", max_words=4)]
    dose: Annotated[str, value_of("text", max_words=1)] | None
    unit: Annotated[str, value_of("text", max_words=2)] | None
    route: Annotated[str, quote_of("text", max_words=3)] | None
    frequency: Annotated[str, quote_of("text", max_words=6)] | None
    status: MedicationStatus


class MedicationsDraft(BaseModel):
    """The whole document the model writes."""

    medications: list[MedicationDraft] = Field(max_length=MAX_MEDICATIONS)
