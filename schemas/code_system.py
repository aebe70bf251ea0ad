"""What `/v1/code-systems` tells of the loaded code systems."""

from schemas.base import Strict


class CodeSystem(Strict):
    """A code system that `x-code-in` can name; `digest` is the SHA-256 of its file in hex."""

    name: str
    version: str | None
    members: int
    digest: str


class CodeSystemList(Strict):
    """All that are loaded."""

    code_systems: list[CodeSystem]
