"""What every clinical answer holds: where it stands in the note, and how it came about."""

from pydantic import BaseModel, Field


class Evidence(BaseModel):
    """Where in the note a finding stands.

    Offsets are Unicode code points into the `text` that was sent: `text[start:end] == quote`, always.
    When a finding is given k times with the same words, the k-th is placed at the k-th occurrence of the
    quote; otherwise a quote is placed at its first occurrence. `occurrences` says how many there are: above
    one, the note says the same elsewhere too.
    """

    quote: str = Field(min_length=1)
    start: int = Field(ge=0)
    end: int = Field(gt=0)
    occurrences: int = Field(ge=1)


class Provenance(BaseModel):
    """Everything needed to say later how an answer came about."""

    audit_id: str
    task: str
    schema_version: str
    prompt_hash: str
    weights: str
    weights_digest: str
