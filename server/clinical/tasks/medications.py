"""Medications with dose, unit, route, frequency and assertion, each with its evidence."""

from typing import Annotated

from pydantic import BaseModel, Field

from schemas.clinical.medications import SCHEMA_VERSION, MedicationsAnswer, MedicationStatus
from server.clinical.task import Example, Task
from server.clinical.terms import DOSE, FREQUENCY, NOT_A_NAME, ROUTE, UNIT
from server.grammar.marks import quote_of, value_of

_MAX_MEDICATIONS = 40

_INSTRUCTION = (
    "List every medication in the clinical note as JSON. Copy each value word for word from the note; leave "
    "out what the note does not say. Status is present, negated, historical, hypothetical or family."
)


class MedicationDraft(BaseModel):
    """The form the model writes; what the note does not say is left out."""

    name: Annotated[str, quote_of("text", max_words=3, without=NOT_A_NAME)]
    dose: Annotated[str, value_of("text", DOSE)] | None = None
    unit: Annotated[str, value_of("text", UNIT)] | None = None
    route: Annotated[str, value_of("text", ROUTE)] | None = None
    frequency: Annotated[str, value_of("text", FREQUENCY)] | None = None
    evidence: Annotated[str, quote_of("text", max_words=16)]
    status: MedicationStatus


class MedicationsDraft(BaseModel):
    """The whole document the model writes."""

    medications: list[MedicationDraft] = Field(max_length=_MAX_MEDICATIONS)


_EXAMPLES = (
    Example(
        "Takes amlodipine 5 mg by mouth every morning. Denies warfarin. Stopped naproxen 500 mg last year.",
        MedicationsDraft(
            medications=[
                MedicationDraft(
                    name="amlodipine",
                    dose="5",
                    unit="mg",
                    route="by mouth",
                    frequency="every morning",
                    evidence="Takes amlodipine 5 mg by mouth every morning",
                    status=MedicationStatus.PRESENT,
                ),
                MedicationDraft(name="warfarin", evidence="Denies warfarin", status=MedicationStatus.NEGATED),
                MedicationDraft(
                    name="naproxen",
                    dose="500",
                    unit="mg",
                    evidence="Stopped naproxen 500 mg last year",
                    status=MedicationStatus.HISTORICAL,
                ),
            ]
        ),
    ),
    Example(
        "MEDS: albuterol 2 puffs inhaled q4h prn, gabapentin 300mg PO TID.",
        MedicationsDraft(
            medications=[
                MedicationDraft(
                    name="albuterol",
                    dose="2",
                    unit="puffs",
                    route="inhaled",
                    frequency="q4h prn",
                    evidence="albuterol 2 puffs inhaled q4h prn",
                    status=MedicationStatus.PRESENT,
                ),
                MedicationDraft(
                    name="gabapentin",
                    dose="300",
                    unit="mg",
                    route="PO",
                    frequency="TID",
                    evidence="gabapentin 300mg PO TID",
                    status=MedicationStatus.PRESENT,
                ),
            ]
        ),
    ),
)

TASK = Task(
    name="medications",
    title="Medications named in a note",
    schema_version=SCHEMA_VERSION,
    draft=MedicationsDraft,
    answer=MedicationsAnswer,
    instruction=_INSTRUCTION,
    examples=_EXAMPLES,
    max_tokens=2048,
)
