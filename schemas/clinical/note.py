"""What callers send: a clinical note."""

from pydantic import Field

from schemas.base import Strict

MAX_NOTE_CHARACTERS = 1_000_000


class NoteInput(Strict):
    """A clinical note as the caller's system holds it, identifiers and all."""

    text: str = Field(min_length=1, max_length=MAX_NOTE_CHARACTERS, description="The note's full text.")
