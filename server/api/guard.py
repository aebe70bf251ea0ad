"""Guarded routes: the key is checked before the body is read, and the body before it is parsed.

A server that drains refuses before either.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from server.api.services import services_of
from server.auth import Principal, Scope, require
from server.errors import InvalidRequest, PayloadTooLarge

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_BEARER = HTTPBearer(auto_error=False, description="An API key of this server.")


class GuardedRoute(APIRoute):
    """A route that needs a key with one of `scopes`."""

    scopes: tuple[Scope, ...]

    def get_route_handler(self) -> Handler:
        """Put the guard in front of FastAPI's own handler."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            services = services_of(request)
            services.drain.check()
            principal = await services.authenticator.authenticate(request.headers.get("authorization"))
            require(principal, *self.scopes)
            request.state.principal = principal
            body = await read_body(request, services.settings.limits.body_bytes)
            if body:
                check_media_type(request)
                check_text(body)
            return await handle(request)

        return guarded


def guarded_router(*scopes: Scope, **options: Any) -> APIRouter:
    """A router whose every route needs a key with one of `scopes`."""
    name = "".join(scope.capitalize() for scope in scopes)
    route_class = type(f"{name}Route", (GuardedRoute,), {"scopes": scopes})
    return APIRouter(route_class=route_class, dependencies=[Security(_BEARER)], **options)


def principal_of(request: Request) -> Principal:
    """Who asks, as the guard found."""
    principal: Principal = request.state.principal
    return principal


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Read the body up to a limit, and keep it where `request.body()` looks; raises PayloadTooLarge."""
    too_large = PayloadTooLarge(f"the body is larger than {limit_bytes} bytes")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit_bytes:
            raise too_large
        chunks.append(chunk)
    body = b"".join(chunks)
    request._body = body
    return body


def check_media_type(request: Request) -> None:
    """Raise InvalidRequest where the body does not claim to be JSON: FastAPI would take it for a string."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise InvalidRequest("the body must be JSON: send the header 'Content-Type: application/json'")


def check_text(body: bytes) -> None:
    """Raise InvalidRequest where the body is not UTF-8, or escapes half a surrogate pair."""
    try:
        text = body.decode("utf-8")
        if "\\ud" in text or "\\uD" in text:
            json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not valid UTF-8 at byte {error.start}") from None
    except UnicodeEncodeError:
        raise InvalidRequest("the body holds a \\u escape that is half a surrogate pair") from None
    except (json.JSONDecodeError, RecursionError):
        return
