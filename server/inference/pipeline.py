"""The path itself; each stage has its own module."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace

import msgspec

from models.audit_record import Outcome
from server.auth import Principal
from server.engine.job import Job
from server.engine.protocol import Sampling
from server.errors import DeadlineExceeded, InfirmaryError, InvalidRequest
from server.grammar.compiler import Grammar
from server.grammar.tool_calls import CallSyntax
from server.inference.admission import Admission, answer_budget, check_shortest
from server.inference.audit import Auditor, AuditSubject, AuditTrail
from server.inference.conformity import Conformity
from server.inference.generation import Answer, Generation
from server.inference.request import GenerationRequest, Message
from server.inference.text import Detokenizer, StopMatcher
from server.inference.tool_calls import CallReader
from server.inference.tools import seen_of, spelled_of
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
        """Open the answers to one request; when the block is left without error its audit record is closed.

        Raises before anything reaches the engine: Overloaded, WeightsNotFound, PrivacyUnavailable,
        InvalidRequest, ContextExceeded, InvalidGrammar, DeadlineExceeded, EngineUnavailable,
        AuditUnavailable.
        """
        with self._admitted(request.answers):
            async with self._generate(request, principal) as generation:
                yield generation

    @asynccontextmanager
    async def _generate(self, request: GenerationRequest, principal: Principal) -> AsyncIterator[Generation]:
        weights = self.router.route(request.model)
        _check_bias(request.sampling, weights.vocabulary.size)
        deidentified = await self._deidentify(request)
        messages = _as_the_model_sees(request.messages, deidentified)
        tools = request.tools.shapes(spelled_of(deidentified.texts)) if request.tools else ()
        tokens = await asyncio.to_thread(weights.template.render, messages, tools)
        max_tokens = answer_budget(
            len(tokens),
            request.max_tokens,
            request.most_tokens or self.default_max_tokens,
            weights.context_tokens,
        )
        grammar = await self._constrain(request, deidentified, weights.template.calls)
        if grammar and grammar.shortest:
            check_shortest(len(weights.vocabulary.tokenize(grammar.shortest, control=False)), max_tokens)
        if request.urgency.expired:
            raise DeadlineExceeded
        job = Job(
            tokens=tokens,
            shared=weights.template.shared(messages, tokens),
            max_tokens=max_tokens,
            sampling=request.sampling,
            grammar=grammar.text if grammar else None,
            code_sets=grammar.code_sets if grammar else {},
            tenant=principal.tenant,
            priority=request.urgency.priority,
            expires_s=request.urgency.expires_s,
        )
        answers = tuple(
            self._answer(request, weights, each, deidentified) for each in _jobs(job, request.answers)
        )
        with self._held(len(tokens), answers):
            subject = _subject(request, principal, weights)
            trail = await self.auditor.begin(subject, request_id=request.request_id)
            generation = Generation(
                audit_id=trail.request_id,
                weights=weights,
                deidentified=deidentified,
                prompt_tokens=len(tokens),
                priority=request.urgency.priority,
                answers=answers,
            )
            async with self._audited(trail, generation):
                yield generation

    def _answer(
        self, request: GenerationRequest, weights: LoadedWeights, job: Job, deidentified: Deidentified
    ) -> Answer:
        vault, constraint, tools = deidentified.vault, request.constraint, request.tools
        is_json = constraint is not None and constraint.is_json
        syntax = weights.template.calls
        return Answer(
            outputs=weights.engine.generate(job),
            detokenizer=Detokenizer(weights.vocabulary, syntax.tokens.values() if tools else ()),
            restorer=vault.restorer(json=is_json) if request.restore else None,
            stops=StopMatcher(request.stop),
            metrics=self.metrics,
            conformity=Conformity(constraint.check) if constraint and request.restore else None,
            reader=CallReader(syntax, lambda: vault.restorer(json=True), tools.check) if tools else None,
        )

    async def _deidentify(self, request: GenerationRequest) -> Deidentified:
        texts = [message.text for message in request.messages if message.from_caller]
        texts += request.constraint.texts if request.constraint else ()
        texts += _tool_texts(request)
        with self.metrics.deidentification.time():
            return await self.privacy.deidentify(texts)

    async def _constrain(
        self, request: GenerationRequest, deidentified: Deidentified, syntax: CallSyntax
    ) -> Grammar | None:
        roles = [message.role for message in request.messages if message.from_caller]
        texts = deidentified.texts[len(roles) :]
        of_users = [text for role, text in zip(roles, deidentified.texts, strict=False) if role == "user"]
        if request.tools:
            return await asyncio.to_thread(request.tools.compile, texts, of_users, syntax)
        if request.constraint is None:
            return None
        return await asyncio.to_thread(request.constraint.compile, texts, of_users)

    @contextmanager
    def _admitted(self, answers: int) -> Iterator[None]:
        self.admission.enter(answers)
        try:
            yield
        finally:
            self.admission.leave(answers)

    @contextmanager
    def _held(self, prompt_tokens: int, answers: Sequence[Answer]) -> Iterator[None]:
        """The prompt counts once for each answer: that is what the engine has to hold."""
        held = prompt_tokens * len(answers)
        self.admission.hold(held)
        try:
            yield
        finally:
            made = sum(answer.completion_tokens for answer in answers)
            self.admission.release(len(answers), held, made)

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


def _check_bias(sampling: Sampling, size: int) -> None:
    unknown = [token for token in sampling.logit_bias if token >= size]
    if unknown:
        raise InvalidRequest(
            f"logit_bias: {unknown[0]} is no token id of these weights, which have {size}", param="logit_bias"
        )


def _jobs(job: Job, answers: int) -> Iterator[Job]:
    """One for each answer; with a seed each draws by its own, so that they differ and can be had again."""
    for number in range(answers):
        seed = job.sampling.seed
        sampling = msgspec.structs.replace(job.sampling, seed=None if seed is None else seed + number)
        yield replace(job, sampling=sampling)


def _tool_texts(request: GenerationRequest) -> dict[str, None]:
    """Each once: definitions repeat the same few words."""
    defined = request.tools.texts if request.tools else ()
    called = (text for message in request.messages for call in message.calls for text in call.texts)
    return dict.fromkeys((*defined, *called))


def _as_the_model_sees(messages: tuple[Message, ...], deidentified: Deidentified) -> list[Message]:
    texts = iter(deidentified.texts)
    seen = seen_of(deidentified.texts)
    return [
        replace(each, text=next(texts).text, calls=tuple(call.as_seen(seen) for call in each.calls))
        if each.from_caller
        else each
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
