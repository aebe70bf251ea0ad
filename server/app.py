"""The HTTP application over ready services."""

from importlib.metadata import version

from fastapi import FastAPI

from server.api import chat, clinical, code_systems, errors, models, operations
from server.api.observation import Observation
from server.state import Services


def create_app(services: Services) -> FastAPI:
    """Wire the routers; `services` are started and outlive the application."""
    app = FastAPI(
        title="Infirmary",
        version=version("infirmary"),
        description="Advises clinicians; it does not decide. Not a medical device.",
        # FastAPI's pages load their scripts from a public network; /openapi.json is all that is ours.
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    errors.install(app)
    app.include_router(operations.router)
    app.include_router(models.router)
    app.include_router(code_systems.router)
    app.include_router(chat.router)
    app.include_router(clinical.clinical_router(services.clinical.catalogue))
    app.add_middleware(Observation, metrics=services.metrics, drain=services.drain)
    return app
