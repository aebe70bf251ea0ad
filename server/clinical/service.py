"""Asks a task of a note."""

import json
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from schemas.clinical.evidence import Provenance
from server.auth import Principal
from server.clinical.catalogue import Catalogue
from server.clinical.evidence import Document, EvidenceLocator
from server.clinical.task import Task
from server.errors import ContextExceeded, GenerationFailed
from server.grammar.code_systems import NO_CODE_SYSTEMS, CodeSystems
from server.inference.constraint import GroundedConstraint
from server.inference.generation import Generation
from server.inference.pipeline import Inference
from server.inference.request import GenerationRequest, Urgency


@dataclass(frozen=True, slots=True)
class ClinicalService:
    """Runs the tasks of a catalogue over one inference path."""

    catalogue: Catalogue
    inference: Inference
    systems: CodeSystems = NO_CODE_SYSTEMS

    async def run(
        self,
        task: Task,
        note: str,
        principal: Principal,
        *,
        route: str,
        request_id: str,
        urgency: Urgency,
    ) -> BaseModel:
        """The task's answer, each quote at its offsets in `note`; raises what the path raises."""
        request = GenerationRequest(
            request_id=request_id,
            route=route,
            model=task.weights,
            messages=task.messages(note),
            most_tokens=task.max_tokens,
            constraint=GroundedConstraint(task.draft_schema, "text", systems=self.systems),
            restore=False,
            task=task.name,
            prompt_hash=task.prompt_hash,
            schema_version=task.schema_version,
            urgency=urgency,
        )
        try:
            async with self.inference.generate(request, principal) as generation:
                (answer,) = await generation.whole()
                document = _document(task, answer.text, generation)
                return _answer(task, document, generation)
        except ContextExceeded as error:
            raise ContextExceeded(error.message, param="text") from None


def _document(task: Task, text: str, generation: Generation) -> Document:
    if generation.finish_reason != "stop":
        raise GenerationFailed("the answer grew longer than the task allows; shorten or split the note")
    deidentified = generation.deidentified
    locator = EvidenceLocator(deidentified.texts[-1], deidentified.vault, task.draft_schema)
    return locator.locate(json.loads(text))


def _answer(task: Task, document: Document, generation: Generation) -> BaseModel:
    provenance = Provenance(
        audit_id=generation.audit_id,
        task=task.name,
        schema_version=task.schema_version,
        prompt_hash=task.prompt_hash,
        weights=generation.weights.version,
        weights_digest=generation.weights.digest,
    )
    try:
        return task.answer.model_validate(document | {"provenance": provenance})
    except ValidationError as error:
        raise GenerationFailed(f"the answer does not fit its schema ({error.error_count()} errors)") from None
