"""The services of one process: made together, started together, stopped in reverse."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from models.database import DATABASE_ERRORS, Database
from models.migrate import UnknownRevisionError, migrate
from server.auth import Authenticator, KeyDigester, ensure_bootstrap_key, load_or_create_secret
from server.clinical.catalogue import Catalogue
from server.clinical.service import ClinicalService
from server.drain import Drain
from server.engine.llama.vocabulary import Vocabulary
from server.engine.protocol import CodeSet, Load, Policy, Step
from server.engine.supervisor import EngineSupervisor
from server.errors import InfirmaryError, PrivacyUnavailable, StartupError
from server.grammar.code_pattern import code_grammar
from server.grammar.code_systems import CodeSystem, CodeSystems, read_code_system
from server.inference.admission import Admission
from server.inference.audit import Auditor
from server.inference.pipeline import Inference
from server.inference.prompt import ChatTemplate
from server.inference.weights import LoadedWeights, WeightsRouter, verified_digest, weights_file
from server.metrics import Metrics
from server.privacy.deidentifier import Deidentifier
from server.privacy.policy import Disclosure, PrivacyPolicy
from server.settings import EngineSettings, PrivacySettings, Settings


@dataclass(frozen=True)
class Services:
    """All that a request handler may reach. `first_key` is set when this start made it."""

    settings: Settings
    database: Database
    authenticator: Authenticator
    engine: EngineSupervisor
    inference: Inference
    clinical: ClinicalService
    code_systems: CodeSystems
    metrics: Metrics
    drain: Drain
    first_key: str | None


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Start everything at once; raises StartupError with one clear line."""
    path = weights_file(settings.weights)
    metrics = Metrics(CollectorRegistry())
    database = _database(settings)
    engine = _engine(settings.engine, path, metrics)
    privacy = _privacy(settings.privacy)
    auditor = Auditor(database)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.dispose)
        stack.push_async_callback(auditor.drain)
        stack.push_async_callback(privacy.close)
        stack.push_async_callback(engine.stop)
        weights, first_key, systems = await _start(settings, path, database, engine, privacy)
        code_systems = CodeSystems(systems, weights.vocabulary.placeholders)
        for system in code_systems:
            grammar = await asyncio.to_thread(code_grammar, system.displays)
            await engine.define(CodeSet(system.name, grammar))
        metrics.engine_up.set(1)
        if engine.ready:
            memory = engine.ready.memory
            metrics.set_engine_memory(weights=memory.weights, kv=memory.kv, buffers=memory.buffers)
        catalogue = Catalogue()
        for task in catalogue:
            engine.warm(await asyncio.to_thread(weights.template.preamble, task.preamble))
        inference = Inference(
            router=WeightsRouter(weights),
            privacy=privacy,
            admission=_admission(settings.engine),
            auditor=auditor,
            metrics=metrics,
            default_max_tokens=settings.limits.max_tokens,
        )
        yield Services(
            settings=settings,
            database=database,
            authenticator=Authenticator(database, _digester(settings)),
            engine=engine,
            inference=inference,
            clinical=ClinicalService(catalogue, inference, code_systems),
            code_systems=code_systems,
            metrics=metrics,
            drain=Drain(settings.limits.drain_s),
            first_key=first_key,
        )


async def _start(
    settings: Settings, path: Path, database: Database, engine: EngineSupervisor, privacy: PrivacyPolicy
) -> tuple[LoadedWeights, str | None, list[CodeSystem]]:
    failure: StartupError | None = None
    try:
        async with asyncio.TaskGroup() as group:
            weights = group.create_task(_load(path, engine))
            group.create_task(privacy.start())
            first_key = group.create_task(_open_database(settings, database))
            systems = group.create_task(asyncio.to_thread(_read_code_systems, settings.codes))
    except* (StartupError, PrivacyUnavailable) as errors:
        failure = StartupError(_first_message(errors))
    # Not within except*: from there Python 3.11.2, which is Debian 12's, raises it wrapped in a group.
    if failure is not None:
        raise failure
    return weights.result(), first_key.result(), systems.result()


def _first_message(errors: BaseExceptionGroup[InfirmaryError]) -> str:
    error = errors.exceptions[0]
    return error.message if isinstance(error, InfirmaryError) else _first_message(error)


async def _load(path: Path, engine: EngineSupervisor) -> LoadedWeights:
    async with asyncio.TaskGroup() as group:
        digest = group.create_task(asyncio.to_thread(verified_digest, path))
        started = group.create_task(engine.start())
    ready = started.result()
    # Only now: the engine process has shown that the file does no harm.
    vocabulary = await asyncio.to_thread(Vocabulary.load, path)
    return LoadedWeights(
        version=path.stem,
        digest=digest.result(),
        context_tokens=ready.context_tokens,
        loaded_at=int(time.time()),
        vocabulary=vocabulary,
        template=ChatTemplate(vocabulary),
        engine=engine,
    )


def _read_code_systems(files: Mapping[str, Path]) -> list[CodeSystem]:
    return [read_code_system(name, path) for name, path in files.items()]


def _database(settings: Settings) -> Database:
    try:
        return Database(settings.database_address)
    except (ValueError, *DATABASE_ERRORS) as error:
        raise StartupError(f"the database cannot be opened: {_first_line(error)}") from error


async def _open_database(settings: Settings, database: Database) -> str | None:
    key = settings.bootstrap_key
    try:
        await asyncio.to_thread(migrate, settings.database_address)
        return await ensure_bootstrap_key(
            database, _digester(settings), key.get_secret_value() if key else None
        )
    except UnknownRevisionError as error:
        raise StartupError(str(error)) from error
    except DATABASE_ERRORS as error:
        raise StartupError(f"the database cannot be opened: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _privacy(settings: PrivacySettings) -> PrivacyPolicy:
    if settings.policy == "off":
        return Disclosure()
    return Deidentifier(workers=settings.workers, timeout_s=settings.timeout_s)


def _digester(settings: Settings) -> KeyDigester:
    if settings.secret_key is not None:
        return KeyDigester(settings.secret_key.get_secret_value().encode())
    return KeyDigester(load_or_create_secret(settings.data_dir / "secret.key"))


def _engine(settings: EngineSettings, path: Path, metrics: Metrics) -> EngineSupervisor:
    load = Load(
        path=str(path),
        sequences=settings.sequences,
        context_tokens=settings.context_tokens,
        threads=settings.threads or len(os.sched_getaffinity(0)),
        n_gpu_layers=settings.n_gpu_layers,
        split_mode=settings.split_mode,
        flash_attention=settings.flash_attention,
        kv_layout=settings.kv_layout,
        policy=Policy(
            batch_tokens=settings.batch_tokens,
            target_step_s=settings.target_step_s,
            aging_s=settings.aging_s,
            prefix_cache=settings.prefix_cache,
            kept_bytes=settings.prefix_cache_bytes,
            speculate=settings.speculation,
        ),
        kv_type=settings.kv_type,
        blas=settings.blas,
    )

    def on_step(step: Step) -> None:
        if step.batch_tokens:
            metrics.engine_step.observe(step.step_s)
            metrics.engine_step_tokens.observe(step.batch_tokens)
        metrics.requests_running.set(step.running)
        metrics.requests_waiting.set(step.waiting)
        metrics.reused_tokens.inc(step.reused)
        metrics.drafted_tokens.inc(step.drafted)
        metrics.accepted_tokens.inc(step.accepted)
        metrics.prefix_cache_bytes.set(step.kept_bytes)
        for seconds in step.mask_s:
            metrics.grammar_mask.observe(seconds)
        for seconds in step.compile_s:
            metrics.grammar_compile.observe(seconds)
        if step.leaks is not None:
            metrics.engine_leaks.set(step.leaks)

    def on_change(*, up: bool) -> None:
        metrics.engine_up.set(up)
        if not up:
            metrics.engine_restarts.inc()
            metrics.requests_running.set(0)
            metrics.requests_waiting.set(0)

    return EngineSupervisor(
        load, start_timeout_s=settings.start_timeout_s, on_step=on_step, on_change=on_change
    )


def _admission(settings: EngineSettings) -> Admission:
    return Admission(
        sequences=settings.sequences,
        queue_requests=settings.queue_requests,
        queue_tokens=settings.queue_tokens,
    )
