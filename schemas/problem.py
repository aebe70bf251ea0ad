"""Error bodies: OpenAI's envelope and RFC 9457 problem documents."""

from pydantic import BaseModel


class OpenAIError(BaseModel):
    """The inside of OpenAI's error envelope."""

    message: str
    type: str
    param: str | None
    code: str


class OpenAIErrorBody(BaseModel):
    """Errors under `/v1` where OpenAI's clients look for them."""

    error: OpenAIError


class Problem(BaseModel):
    """RFC 9457 `application/problem+json`; `code` is stable, `param` names the field at fault."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    param: str | None = None
