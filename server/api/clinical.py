"""`/v1/clinical`: the task catalogue, and a route for each task in it."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from schemas.clinical.note import NoteInput
from server.api.disconnect import unless_disconnected
from server.api.guard import guarded_router, principal_of
from server.api.services import services_of
from server.api.urgency import AskedUrgency
from server.auth import Scope
from server.clinical.catalogue import Catalogue
from server.clinical.task import Task

PREFIX = "/v1/clinical"


def clinical_router(catalogue: Catalogue) -> APIRouter:
    """The routes of a catalogue's tasks."""
    router = guarded_router(Scope.CLINICAL, prefix=PREFIX, tags=["Clinical"])

    @router.get("/tasks")
    async def list_tasks() -> dict[str, list[dict[str, Any]]]:
        """Every task with its input and output as JSON Schema."""
        return {"tasks": [_entry(task) for task in catalogue]}

    for task in catalogue:
        router.add_api_route(
            f"/{task.name}",
            _endpoint(task),
            methods=["POST"],
            response_model=task.answer,
            summary=task.title,
            name=task.name,
        )
    return router


def _endpoint(task: Task) -> Callable[[Request, NoteInput, AskedUrgency], Awaitable[BaseModel]]:
    async def run_task(request: Request, body: NoteInput, asked: AskedUrgency) -> BaseModel:
        clinical = services_of(request).clinical
        work = clinical.run(
            task,
            body.text,
            principal_of(request),
            route=f"{PREFIX}/{task.name}",
            request_id=request.state.request_id,
            urgency=asked.urgency(),
        )
        return await unless_disconnected(request, work)

    return run_task


def _entry(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "title": task.title,
        "url": f"{PREFIX}/{task.name}",
        "schema_version": task.schema_version,
        "prompt_hash": task.prompt_hash,
        "weights": task.weights,
        "max_tokens": task.max_tokens,
        "input": NoteInput.model_json_schema(),
        "output": task.answer.model_json_schema(),
    }
