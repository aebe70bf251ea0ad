"""What a worker does with one schema: compile it in two ways, and hold what the grammar writes against it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from time import perf_counter
from typing import Any

from corpus import Case, in_schema_order
from documents import Length, Writer, byte_tokenizer
from llguidance import LLMatcher, LLTokenizer
from validation import CannotJudge, Fault, Judge, parsed, shown

from server.engine.matcher import GrammarFault
from server.errors import InvalidGrammar
from server.grammar.compiler import compile_json_schema

ACCEPTED, REFUSED, CRASHED, HUNG = "accepted", "refused", "crashed", "hung"
# The options of llguidance that `server.grammar.compiler` gives, without anything of ours around them.
_COMPACT = {"whitespace_flexible": False, "json_allowed_escapes": 'nrbtf\\"'}


@dataclass(frozen=True)
class Compiled:
    """How compiling went: one of the four outcomes, why not where it was not accepted, and its time."""

    outcome: str
    reason: str = ""
    ms: float = 0.0
    grammar: str = field(default="", repr=False)


@dataclass
class Written:
    """What a grammar wrote, counted, and the documents that are wrong.

    `unusable` says why the matcher could not go on, `unjudged` why the validator cannot tell.
    """

    documents: int = 0
    unfinished: int = 0
    duplicates: int = 0
    overflows: int = 0
    valid_instances: int = 0
    valid_accepted: int = 0
    invalid_instances: int = 0
    unusable: str = ""
    unjudged: str = ""
    wrong: list[Fault] = field(default_factory=list)


@dataclass(frozen=True)
class Drawing:
    """How many documents are drawn from each grammar, how long, and by which seed."""

    documents: int
    length: Length
    seed: int


def compile_ours(case: Case) -> Compiled:
    """With Infirmary's compiler."""
    if not isinstance(case.schema, dict):
        return Compiled(REFUSED, "schema is no object")
    return _timed(lambda: compile_json_schema(case.schema).text)


def compile_alone(case: Case) -> Compiled:
    """With llguidance alone."""
    return _timed(lambda: _llguidance_grammar(case.schema))


def write_and_judge(case: Case, grammar: str, drawing: Drawing) -> Written:
    """Draw documents from a grammar and judge them; try the instances that came with the schema."""
    written = Written()
    try:
        writer = Writer(_tokenizer(), grammar)
        judge = _judge(case, written)
        _draw(writer, judge, Random(f"{drawing.seed}:{case.name}"), drawing, written)
        _try_instances(writer, case, written)
    except GrammarFault as fault:
        written.unusable = str(fault)
    return written


def _timed(compile_grammar: Any) -> Compiled:
    started = perf_counter()
    try:
        grammar, outcome, reason = compile_grammar(), ACCEPTED, ""
    except InvalidGrammar as refusal:
        grammar, outcome, reason = "", REFUSED, refusal.message
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as crash:  # a panic in llguidance is no Exception
        grammar, outcome, reason = "", CRASHED, f"{type(crash).__name__}: {str(crash)[:200]}"
    return Compiled(outcome, reason, 1000 * (perf_counter() - started), grammar)


def _llguidance_grammar(schema: Any) -> str:
    try:
        grammar: str = LLMatcher.grammar_from_json_schema(json.dumps(schema), defaults=_COMPACT)
    except ValueError as error:
        raise InvalidGrammar(str(error)) from error
    if fault := LLMatcher.validate_grammar(grammar):
        raise InvalidGrammar(fault)
    return grammar


def _judge(case: Case, written: Written) -> Judge | None:
    try:
        return Judge(case.schema)
    except CannotJudge as reason:
        written.unjudged = str(reason)
        return None


def _draw(writer: Writer, judge: Judge | None, random: Random, drawing: Drawing, written: Written) -> None:
    for _ in range(drawing.documents):
        document = writer.write(random, drawing.length)
        if document is None:
            written.unfinished += 1
            continue
        written.documents += 1
        if fault := _fault_of(document, judge, written):
            written.wrong.append(fault)


def _fault_of(document: bytes, judge: Judge | None, written: Written) -> Fault | None:
    try:
        found = parsed(document)
    except ValueError as error:
        return Fault(f"no JSON: {error}"[:80], "", shown(document))
    written.duplicates += bool(found.duplicates)
    written.overflows += found.overflows
    if judge is None:
        return None
    try:
        return judge.fault(found.value, shown(document))
    except CannotJudge as reason:
        written.unjudged = str(reason)
        return None


def _try_instances(writer: Writer, case: Case, written: Written) -> None:
    for value, valid in case.instances:
        document = compact(in_schema_order(value, case.schema, case.schema))
        accepted = writer.accepts(document)
        if valid:
            written.valid_instances += 1
            written.valid_accepted += accepted
            continue
        written.invalid_instances += 1
        if accepted or writer.accepts(compact(value)):
            written.wrong.append(Fault("invalid instance", "", shown(document)))


def compact(value: Any) -> bytes:
    """`value` as a grammar writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", errors="replace")


def _tokenizer() -> LLTokenizer:
    return byte_tokenizer()


def serve(connection: Any, drawing: Drawing) -> None:
    """A worker's life: it answers each (function's name, arguments) until the pipe closes."""
    functions: Mapping[str, Any] = {
        "ours": compile_ours,
        "alone": compile_alone,
        "written": lambda case, grammar: write_and_judge(case, grammar, drawing),
    }
    connection.send("ready")
    while True:
        try:
            name, arguments = connection.recv()
        except EOFError:
            return
        connection.send(functions[name](*arguments))
