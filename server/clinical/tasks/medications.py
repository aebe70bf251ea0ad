"""Medications with dose, unit, route, frequency and assertion, each with its evidence."""

from typing import Any

from schemas.clinical.medications import (
    SCHEMA_VERSION,
    MedicationDraft,
    MedicationsAnswer,
    MedicationsDraft,
    MedicationStatus,
)
from server.clinical.task import Example, Task

_INSTRUCTION = (
    "List every medication in the clinical note as JSON. Copy each value word for word from the note; write "
    "null where the note does not say it. Status is present, negated, historical, hypothetical or family."
)

_UNSAID = {"dose": None, "unit": None, "route": None, "frequency": None}


def _medication(evidence: str, name: str, status: MedicationStatus, **said: Any) -> MedicationDraft:
    return MedicationDraft(evidence=evidence, name=name, status=status, **(_UNSAID | said))


_EXAMPLES = (
    Example(
        "Takes amlodipine 5 mg by mouth every morning for blood pressure. Denies warfarin. "
        "Stopped naproxen 500 mg last year because of gastritis.",
        MedicationsDraft(
            medications=[
                _medication(
                    "amlodipine 5 mg by mouth every morning",
                    "amlodipine",
                    MedicationStatus.PRESENT,
                    dose="5",
                    unit="mg",
                    route="by mouth",
                    frequency="every morning",
                ),
                _medication("Denies warfarin", "warfarin", MedicationStatus.NEGATED),
                _medication(
                    "Stopped naproxen 500 mg", "naproxen", MedicationStatus.HISTORICAL, dose="500", unit="mg"
                ),
            ]
        ),
    ),
    Example(
        "MEDS: albuterol 2 puffs inhaled q4h prn, gabapentin 300mg PO TID.\n"
        "Mother took insulin for diabetes. Consider sertraline 50 mg daily if mood worsens.",
        MedicationsDraft(
            medications=[
                _medication(
                    "albuterol 2 puffs inhaled q4h prn",
                    "albuterol",
                    MedicationStatus.PRESENT,
                    dose="2",
                    unit="puffs",
                    route="inhaled",
                    frequency="q4h prn",
                ),
                _medication(
                    "gabapentin 300mg PO TID",
                    "gabapentin",
                    MedicationStatus.PRESENT,
                    dose="300",
                    unit="mg",
                    route="PO",
                    frequency="TID",
                ),
                _medication("Mother took insulin", "insulin", MedicationStatus.FAMILY),
                _medication(
                    "Consider sertraline 50 mg daily",
                    "sertraline",
                    MedicationStatus.HYPOTHETICAL,
                    dose="50",
                    unit="mg",
                    frequency="daily",
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
