"""The path itself; each stage has its own module."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from models.audit_record import Outcome
from server.auth import Principal
from server.errors import InfirmaryError
from server.grammar.compiler import Grammar
from server.inference.admission import Admission, answer_budget
from server.inference.audit import Auditor, AuditSubject, AuditTrail
from server.inference.generation import Generation
from server.inference.request import GenerationRequest, Message
from server.inference.text import StopMatcher
from server.inference.weights import LoadedWeights, WeightsRouter
from server.metrics import Metrics
from server.privacy.policy import PrivacyPolicy
from server.privacy.pseudonyms import Deidentified


@dataclass(frozen=True, slots=True)
class Inference:
    """From a request to an answer, stage by stage."""

    router: WeightsRouter
    privacy: PrivacyPolicy
    admission: Admission
    auditor: Auditor
    metrics: Metrics
    default_max_tokens: int

    @asynccontextmanager
    async def generate(self, request: GenerationRequest, principal: Principal) -> AsyncIterator[Generation]:
        """Open one answer; when the block is left without error its audit record is closed.

        Raises before anything reaches the engine: Overloaded, WeightsNotFound, PrivacyUnavailable,
        InvalidRequest, ContextExceeded, InvalidGrammar, EngineUnavailable, AuditUnavailable.
        """
        with self._admitted():
            async with self._generate(request, principal) as generation:
                yield generation

    @asynccontextmanager
    async def _generate(self, request: GenerationRequest, principal: Principal) -> AsyncIterator[Generation]:
        weights = self.router.route(request.model)
        deidentified = await self._deidentify(request)
        messages = _as_the_model_sees(request.messages, deidentified)
        tokens = await asyncio.to_thread(weights.template.render, messages)
        max_tokens = answer_budget(
            len(tokens),
            request.max_tokens,
            request.most_tokens or self.default_max_tokens,
            weights.context_tokens,
        )
        grammar = await self._constrain(request, deidentified)
        with self._held(len(tokens)):
            outputs = weights.engine.generate(
                tokens,
                max_tokens=max_tokens,
                sampling=request.sampling,
                grammar=grammar.text if grammar else None,
            )
            subject = _subject(request, principal, weights)
            trail = await self.auditor.begin(subject, request_id=request.request_id)
            generation = Generation(
                audit_id=trail.request_id,
                weights=weights,
                deidentified=deidentified,
                prompt_tokens=len(tokens),
                outputs=outputs,
                restorer=deidentified.vault.restorer(json=grammar is not None) if request.restore else None,
                stops=StopMatcher(request.stop),
                metrics=self.metrics,
            )
            async with self._audited(trail, generation):
                yield generation

    async def _deidentify(self, request: GenerationRequest) -> Deidentified:
        texts = [message.text for message in request.messages if message.from_caller]
        texts += request.constraint.texts if request.constraint else ()
        with self.metrics.deidentification.time():
            return await self.privacy.deidentify(texts)

    async def _constrain(self, request: GenerationRequest, deidentified: Deidentified) -> Grammar | None:
        constraint = request.constraint
        if constraint is None:
            return None
        count = len(deidentified.texts) - len(constraint.texts)
        messages, texts = deidentified.texts[:count], deidentified.texts[count:]
        return await asyncio.to_thread(constraint.compile, texts, messages)

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        self.admission.enter()
        try:
            yield
        finally:
            self.admission.leave()

    @contextmanager
    def _held(self, prompt_tokens: int) -> Iterator[None]:
        started = time.perf_counter()
        self.admission.hold(prompt_tokens)
        try:
            yield
        finally:
            self.admission.release(prompt_tokens, time.perf_counter() - started)

    @asynccontextmanager
    async def _audited(self, trail: AuditTrail, generation: Generation) -> AsyncIterator[None]:
        try:
            yield
        except BaseException as error:
            await self._end(trail, generation, error)
            raise
        await self._end(trail, generation, None)

    async def _end(self, trail: AuditTrail, generation: Generation, error: BaseException | None) -> None:
        self.metrics.count_tokens(generation.prompt_tokens, generation.completion_tokens)
        with self.metrics.audit_write.time():
            await self.auditor.end(
                trail,
                _outcome(error),
                error_code=error.code if isinstance(error, InfirmaryError) else None,
                finish_reason=generation.finish_reason,
                prompt_tokens=generation.prompt_tokens,
                completion_tokens=generation.completion_tokens,
                entities=generation.deidentified.vault.counts,
            )


def _as_the_model_sees(messages: tuple[Message, ...], deidentified: Deidentified) -> list[Message]:
    texts = iter(deidentified.texts)
    return [
        Message(each.role, next(texts).text, from_caller=True) if each.from_caller else each
        for each in messages
    ]


def _subject(request: GenerationRequest, principal: Principal, weights: LoadedWeights) -> AuditSubject:
    return AuditSubject(
        key_id=principal.key_id,
        tenant=principal.tenant,
        route=request.route,
        weights_version=weights.version,
        weights_digest=weights.digest,
        task=request.task,
        prompt_hash=request.prompt_hash,
        schema_version=request.schema_version,
    )


def _outcome(error: BaseException | None) -> Outcome:
    if error is None:
        return Outcome.COMPLETED
    return Outcome.FAILED if isinstance(error, Exception) else Outcome.ABORTED
