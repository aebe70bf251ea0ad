"""Medications: what a note says a patient takes, took, should take or does not take."""

from enum import StrEnum

from pydantic import BaseModel, Field

from schemas.clinical.evidence import Evidence, Provenance

SCHEMA_VERSION = "1"


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
    dose: str | None = Field(None, description="The number alone, as written: `25`, `1-2`, `0.5`.")
    unit: str | None = Field(None, description="The dose's unit as written: `mg`, `units`, `tablets`.")
    route: str | None = Field(None, description="As written: `PO`, `IV`, `by mouth`.")
    frequency: str | None = Field(None, description="As written: `BID`, `twice daily`, `as needed`.")
    status: MedicationStatus
    evidence: Evidence


class MedicationsAnswer(BaseModel):
    """Answer of `POST /v1/clinical/medications`."""

    medications: list[Medication]
    provenance: Provenance
