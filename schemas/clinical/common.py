"""What the answers of all clinical tasks share."""

from pydantic import BaseModel, Field

from schemas.base import Strict

MAX_NOTE_CHARACTERS = 1_000_000


class NoteInput(Strict):
    """A clinical note as the caller's system holds it, identifiers and all."""

    text: str = Field(min_length=1, max_length=MAX_NOTE_CHARACTERS, description="The note's full text.")


class Evidence(BaseModel):
    """Where in the note a finding stands.

    Offsets are Unicode code points into the `text` that was sent: `text[start:end] == quote`, always.
    When a finding is given k times with the same words, the k-th is placed at the k-th occurrence of the
    quote; otherwise a quote is placed at its first occurrence.
    """

    quote: str = Field(min_length=1)
    start: int = Field(ge=0)
    end: int = Field(gt=0)


class Provenance(BaseModel):
    """Everything needed to say later how an answer came about."""

    audit_id: str
    task: str
    schema_version: str
    prompt_hash: str
    weights: str
    weights_digest: str
