"""`GET /v1/models`."""

from fastapi import Request

from schemas.openai import Model, ModelList
from server.api.guard import guarded_router
from server.api.services import services_of
from server.auth import Scope
from server.errors import WeightsNotFound
from server.inference.weights import LoadedWeights

router = guarded_router(Scope.CHAT, prefix="/v1/models", tags=["OpenAI"])


@router.get("")
async def list_models(request: Request) -> ModelList:
    """The weights that can be asked."""
    return ModelList(data=[_model(weights) for weights in services_of(request).inference.router.list()])


@router.get("/{model}")
async def retrieve_model(request: Request, model: str) -> Model:
    """One of them."""
    for weights in services_of(request).inference.router.list():
        if weights.version == model:
            return _model(weights)
    raise WeightsNotFound("no weights are loaded under this name", param="model")


def _model(weights: LoadedWeights) -> Model:
    return Model(
        id=weights.version,
        created=weights.loaded_at,
        context_tokens=weights.context_tokens,
        digest=weights.digest,
    )
