"""The application over the real path, with an engine, an identifier search and an audit of the test's own."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client import CollectorRegistry

from models.audit_record import Outcome
from server.app import create_app
from server.auth import Principal, Scope
from server.clinical.catalogue import Catalogue
from server.clinical.service import ClinicalService
from server.drain import Drain
from server.engine.job import Job
from server.engine.protocol import Output
from server.grammar.code_systems import CodeSystem, CodeSystems
from server.grammar.tool_calls import HERMES
from server.inference.admission import Admission
from server.inference.audit import AuditSubject, AuditTrail
from server.inference.pipeline import Inference
from server.inference.tools import ToolCall
from server.inference.weights import LoadedWeights, WeightsRouter
from server.metrics import Metrics
from server.privacy.findings import Finding
from server.privacy.pseudonyms import Deidentified, pseudonymize
from server.settings import Settings

PATIENT = "Zebulon Quackenbush"
CODES = CodeSystem("local", "2026", "c" * 64, {"A1": "one", "B2": "two"})
VOCABULARY = 256

Script = Callable[[Job], list[Output | Exception]]


def said(text: str, finish: str | None = None, **more: Any) -> Output:
    return Output(1, list(text.encode()), finish, **more)


class Bytes:
    """A vocabulary of bytes."""

    size = VOCABULARY

    def piece(self, token: int, special: bool = False) -> bytes:
        return bytes([token])

    def tokenize(self, text: str, *, control: bool) -> list[int]:
        return list(text.encode())


class Template:
    """All the messages in a row, their calls and the tools, as bytes."""

    calls = HERMES

    def render(self, messages: Any, tools: Any = ()) -> list[int]:
        said = [f"{message.text} {' '.join(map(_written, message.calls))}".strip() for message in messages]
        return list("".join([*said, *map(json.dumps, tools)]).encode())

    def shared(self, *_: object) -> int:
        return 0


def _written(call: ToolCall) -> str:
    return f"{call.id} {call.name}{call.arguments}"


class Deidentifier:
    """Knows one patient."""

    async def deidentify(self, texts: list[str]) -> Deidentified:
        findings = []
        for text in texts:
            at = text.find(PATIENT)
            findings.append([] if at < 0 else [Finding(at, at + len(PATIENT), "NAME", 0)])
        return pseudonymize(texts, findings)


@dataclass
class Audit:
    """Keeps what it is told."""

    ends: list[dict[str, Any]] = field(default_factory=list)

    async def begin(self, subject: AuditSubject, *, request_id: str) -> AuditTrail:
        return AuditTrail(request_id, subject, 0.0)

    async def end(self, trail: AuditTrail, outcome: Outcome, **ending: Any) -> None:
        self.ends.append({"outcome": outcome, **ending})


class Engine:
    """Answers each job by a script, a step at a time."""

    def __init__(self) -> None:
        self.script: Script = lambda job: [said("Hello"), said(".", "stop")]
        self.jobs: list[Job] = []

    async def generate(self, job: Job) -> AsyncGenerator[Output, None]:
        self.jobs.append(job)
        for each in self.script(job):
            await asyncio.sleep(0)
            if isinstance(each, Exception):
                raise each
            yield each


@dataclass
class Api:
    """What a test holds on to."""

    http: httpx.AsyncClient
    engine: Engine
    audit: Audit


class Keys:
    """Every caller may do everything."""

    async def authenticate(self, header: str | None) -> Principal:
        return Principal(uuid4(), "test", "ward", frozenset(Scope))


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    engine, audit, metrics = Engine(), Audit(), Metrics(CollectorRegistry())
    fakes: Any = {"vocabulary": Bytes(), "template": Template(), "engine": engine}
    inference = Inference(
        router=WeightsRouter(LoadedWeights("weights", "d" * 64, 4096, 0, **fakes)),
        privacy=Deidentifier(),  # type: ignore[arg-type]  # a fake
        admission=Admission(sequences=8, queue_requests=8, queue_tokens=100_000),
        auditor=audit,  # type: ignore[arg-type]  # a fake
        metrics=metrics,
        default_max_tokens=64,
    )
    services: Any = SimpleNamespace(
        settings=Settings(),
        authenticator=Keys(),
        inference=inference,
        clinical=ClinicalService(Catalogue(), inference),
        code_systems=CodeSystems([CODES], [7, 8]),
        metrics=metrics,
        drain=Drain(30),
    )
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://infirmary") as http:
        yield Api(http, engine, audit)
