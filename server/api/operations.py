"""What machines ask of the service: is it alive, can it answer, how is it doing."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from models.database import DATABASE_ERRORS
from server.api.services import services_of
from server.errors import EngineUnavailable, Unavailable

router = APIRouter(tags=["Operations"])


@router.get("/healthz")
async def health() -> dict[str, str]:
    """The process serves."""
    return {"status": "ok"}


@router.get("/readyz")
async def readiness(request: Request) -> dict[str, str]:
    """Requests would be answered now; 503 while an engine starts, the database is gone or the server ends."""
    services = services_of(request)
    services.drain.check()
    if not services.engine.ready:
        raise EngineUnavailable("the engine is starting", retry_after_s=2)
    try:
        await services.database.ping()
    except DATABASE_ERRORS as error:
        raise Unavailable("the database does not answer") from error
    return {"status": "ready"}


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    return Response(generate_latest(services_of(request).metrics.registry), media_type=CONTENT_TYPE_LATEST)
