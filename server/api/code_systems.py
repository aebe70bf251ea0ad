"""`GET /v1/code-systems`."""

from fastapi import Request

from schemas.code_system import CodeSystem, CodeSystemList
from server.api.guard import guarded_router
from server.api.services import services_of
from server.auth import Scope

router = guarded_router(Scope.CLINICAL, Scope.CHAT, tags=["Code systems"])


@router.get("/v1/code-systems")
async def list_code_systems(request: Request) -> CodeSystemList:
    """The code systems whose members a schema's `x-code-in` can ask for."""
    return CodeSystemList(
        code_systems=[
            CodeSystem(name=each.name, version=each.version, members=len(each.displays), digest=each.digest)
            for each in services_of(request).code_systems
        ]
    )
