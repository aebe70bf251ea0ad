"""Every error in the shape that its route's clients read: OpenAI's envelope, or an RFC 9457 problem."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from schemas.problem import OpenAIError, OpenAIErrorBody, Problem
from server.api.disconnect import CLIENT_GONE, ClientDisconnected
from server.errors import InfirmaryError, InvalidRequest, NotFound

_OPENAI_PREFIX = "/v1/"
_PROBLEM_PREFIXES = ("/v1/clinical/",)
_PLACES = ("body", "header")
_LONGEST_PLACE = 10
_FIELD_NAME = re.compile(r"[a-z][a-zA-Z_]{0,40}")


class MethodNotAllowed(NotFound):
    """The path exists, but not for this method."""

    status = 405
    code = "method_not_allowed"


def install(app: FastAPI) -> None:
    """Register the handlers. What they do not foresee is answered by `Observation`, so that it is counted."""
    app.add_exception_handler(InfirmaryError, _on_infirmary_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnected, _on_client_gone)
    app.add_exception_handler(ClientDisconnect, _on_client_gone)


def body_of(error: InfirmaryError, path: str) -> dict[str, Any]:
    """The error as JSON for clients of `path`."""
    if path.startswith(_OPENAI_PREFIX) and not path.startswith(_PROBLEM_PREFIXES):
        kind = "server_error" if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
        inside = OpenAIError(message=error.message, type=kind, param=error.param, code=error.code)
        return OpenAIErrorBody(error=inside).model_dump()
    title = HTTPStatus(error.status).phrase
    problem = Problem(
        title=title, status=error.status, detail=error.message, code=error.code, param=error.param
    )
    return problem.model_dump()


def error_response(error: InfirmaryError, path: str) -> Response:
    """What a client of `path` is told of an error."""
    body = body_of(error, path)
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    media_type = "application/json" if "error" in body else "application/problem+json"
    return JSONResponse(body, status_code=error.status, headers=headers, media_type=media_type)


async def _on_infirmary_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, InfirmaryError)  # noqa: S101 - registered for this type
    return error_response(error, request.url.path)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type
    return error_response(explain(error.errors()), request.url.path)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type
    known: dict[int, InfirmaryError] = {
        HTTPStatus.NOT_FOUND: NotFound("there is no such route"),
        HTTPStatus.METHOD_NOT_ALLOWED: MethodNotAllowed("the route does not have this method"),
    }
    response = error_response(
        known.get(error.status_code, InvalidRequest("the body cannot be read as JSON")), request.url.path
    )
    response.headers.update(error.headers or {})  # a 405 says which methods there are
    return response


async def _on_client_gone(_request: Request, _error: Exception) -> Response:
    """Nobody reads this; the status is for the log, as nginx writes it."""
    return Response(status_code=CLIENT_GONE)


def explain(errors: Sequence[Any]) -> InvalidRequest:
    """The first fault that Pydantic found, in one sentence, naming the field."""
    fault = errors[0]
    place = [*fault["loc"][fault["loc"][0] in _PLACES :]][:_LONGEST_PLACE]
    if fault["type"] == "json_invalid":
        return InvalidRequest(f"the body is not valid JSON: {fault['ctx']['error']} at character {place[-1]}")
    param = ".".join(map(str, place)) or None
    if fault["type"] == "extra_forbidden":
        param = _known_name(place)
        return InvalidRequest(f"'{param}' is not supported", param=param)
    if fault["type"] == "union_tag_invalid":
        return InvalidRequest(f"{param}: one of {fault['ctx']['expected_tags']} is expected", param=param)
    message = str(fault["msg"]).removeprefix("Value error, ")
    return InvalidRequest(f"{param}: {message}" if param else message, param=param)


def _known_name(place: Sequence[Any]) -> str:
    """The path of an unknown field; a name that no API would give one may be a patient's: left out."""
    *parents, name = map(str, place)
    shown = name if _FIELD_NAME.fullmatch(name) else "?"
    return ".".join([*parents, shown])
