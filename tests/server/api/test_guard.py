"""Every route needs a key with its scope, or is listed here as public."""

import re
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from prometheus_client import CollectorRegistry

from server.api.guard import GuardedRoute
from server.app import create_app
from server.auth import Authenticator, KeyDigester, Scope
from server.clinical.catalogue import Catalogue
from server.drain import Drain
from server.metrics import Metrics

PUBLIC = {"/healthz", "/readyz", "/metrics", "/openapi.json"}


@pytest.fixture
def app() -> FastAPI:
    """The application over services that only say what there is, and refuse whoever has no key."""
    database: Any = None  # never asked: without a key there is nothing to look up
    services: Any = SimpleNamespace(
        authenticator=Authenticator(database, KeyDigester(b"s" * 32)),
        clinical=SimpleNamespace(catalogue=Catalogue()),
        metrics=Metrics(CollectorRegistry()),
        drain=Drain(30),
    )
    return create_app(services)


def private_routes(app: FastAPI) -> list[RouteContext]:
    return [route for route in iter_route_contexts(app.routes) if route.path not in PUBLIC]


def test_the_public_routes_are_those_listed(app: FastAPI) -> None:
    unguarded = [
        route.path
        for route in iter_route_contexts(app.routes)
        if not isinstance(route.original_route, GuardedRoute)
    ]
    assert sorted(map(str, unguarded)) == sorted(PUBLIC)


def test_every_other_route_has_a_scope(app: FastAPI) -> None:
    scopes = {route.path: route.original_route.scopes for route in private_routes(app)}
    assert all(found and set(found) <= set(Scope) for found in scopes.values())
    assert scopes["/v1/chat/completions"] == (Scope.CHAT,)
    assert set(scopes.pop("/v1/code-systems")) == {Scope.CHAT, Scope.CLINICAL}
    for path, found in scopes.items():
        assert (found == (Scope.CLINICAL,)) == str(path).startswith("/v1/clinical/")


def test_a_route_without_a_rule_would_be_found(app: FastAPI) -> None:
    app.get("/forgotten")(lambda: None)
    assert "/forgotten" in {route.path for route in private_routes(app)}
    with pytest.raises(AssertionError):
        test_the_public_routes_are_those_listed(app)


async def test_no_route_answers_without_a_key(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://infirmary") as client:
        asked = 0
        for route in private_routes(app):
            for method in route.methods or ():
                path = re.sub(r"{\w+}", "x", str(route.path))
                answer = await client.request(method, path)
                assert answer.status_code == 401, (method, path)
                asked += 1
    assert asked >= 5


async def test_no_route_takes_anything_in_while_the_server_drains(app: FastAPI) -> None:
    app.state.services.drain.begin()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://infirmary") as client:
        for path in ("/v1/chat/completions", "/v1/clinical/medications", "/readyz"):
            answer = await client.request("GET" if path == "/readyz" else "POST", path)
            assert answer.status_code == 503
            assert "shutting_down" in answer.text
            assert answer.headers["connection"] == "close"
            assert int(answer.headers["retry-after"]) > 0
        assert (await client.get("/healthz")).status_code == 200
