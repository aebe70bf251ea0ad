"""Whatever random weights write under a grammar fits the schema, and quotes the note word by word.

The sampler, the mask and the matcher are the engine's own; of the weights there is noise.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from llguidance import LLTokenizer

from server.engine.llama.vocabulary import Vocabulary
from server.engine.logit_rows import LogitRows
from server.engine.matcher import Matcher
from server.engine.protocol import Sampling
from server.engine.sampler import Sampler
from server.errors import InvalidGrammar
from server.grammar.compiler import compile_json_schema, compile_output_type
from server.grammar.grounded import grounded_type
from server.grammar.spans import SourceText

pytestmark = pytest.mark.filterwarnings("ignore:llama_token:DeprecationWarning")

Schema = dict[str, Any]
Complete = Callable[[str, int], str]

SEEDS = st.integers(0, 2**32)
# Names with what JSON escapes and what it does not; so long that no free name equals one by chance.
NAMES = ['do"se', "läge", "back\\slash", "line\nbreak", "a/b~c", "🙂 face", "$ref", "length"]
PATTERNS = ["^[A-Z]{2}[0-9]$", "^a+b?$", "[0-9]{2}", "^(yes|no)$", "^\\d{1,3}\\.\\d$", '^[^"\\\\]{1,4}$']
FORMATS = ["date", "uuid", "ipv4", "ipv6", "email"]
CHECKER = FormatChecker(FORMATS)
# What JSON writes with a short escape, and Unicode's white space, parts words; other control signs do not.
BLANKS = re.compile(r"[\b\f\n\r\t \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
LONGEST = 20_000
# Logits that the signs of an end gain with each token, so that documents end; not for ever, since a pattern
# may be waiting for another sign.
PULL = {"": 0.12, "}": 0.09, "]": 0.09, '"': 0.06}
ALL_PULLING = 130


def completer(tokenizer: LLTokenizer) -> Complete:
    """Completions as the engine makes them: forced tokens, then a draw among those that are allowed."""
    pulls = {
        (tokenizer.tokenize_str(sign)[0] if sign else tokenizer.eos_token): pull
        for sign, pull in PULL.items()
    }
    ends, pull = list(pulls), np.array(list(pulls.values()), np.float32)

    def complete(grammar: str, seed: int) -> str:
        noise = np.random.default_rng(seed)
        matcher, sampler = Matcher(tokenizer, grammar), Sampler(Sampling(temperature=1.0, seed=seed))
        written: list[int] = []
        while not matcher.finished:
            written += matcher.forced()
            if matcher.finished:
                break
            assert len(written) < LONGEST
            logits = noise.normal(scale=4, size=(1, tokenizer.vocab_size)).astype(np.float32)
            logits[0, ends] += pull * min(len(written), ALL_PULLING)
            token = sampler.sample(LogitRows(logits), 0, matcher.allowed())
            matcher.accept(token)
            written.append(token)
        return tokenizer.decode_bytes([each for each in written if each != tokenizer.eos_token]).decode()

    return complete


@pytest.fixture(scope="session")
def of_bytes(byte_tokenizer: LLTokenizer) -> Complete:
    return completer(byte_tokenizer)


@pytest.fixture(scope="session")
def of_words(vocabulary: Vocabulary) -> Complete:
    return completer(vocabulary.guidance_tokenizer())


def integers() -> st.SearchStrategy[Schema]:
    bounds = {
        name: st.integers(-(10**6), 10**6)
        for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    }
    parts = st.fixed_dictionaries({}, optional=bounds | {"multipleOf": st.integers(1, 999)})
    return parts.map(lambda part: {"type": "integer"} | part)


def numbers() -> st.SearchStrategy[Schema]:
    decimals = st.integers(-(10**5), 10**5).map(lambda value: value / 1000)
    bounds = dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), decimals)
    parts = st.fixed_dictionaries({}, optional=bounds | {"multipleOf": st.sampled_from([0.25, 0.5, 3])})
    return parts.map(lambda part: {"type": "number"} | part)


def strings() -> st.SearchStrategy[Schema]:
    lengths = st.fixed_dictionaries(
        {}, optional={"minLength": st.integers(0, 3), "maxLength": st.integers(2, 9)}
    )
    patterns = st.sampled_from(PATTERNS).map(lambda pattern: {"pattern": pattern})
    formats = st.sampled_from(FORMATS).map(lambda name: {"format": name})
    parts = st.tuples(lengths, st.just({}) | patterns).map(lambda pair: pair[0] | pair[1])
    return (parts | formats).map(lambda part: {"type": "string"} | part)


def literals() -> st.SearchStrategy[Any]:
    text = st.sampled_from(NAMES) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=4)
    plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text
    return plain | st.lists(plain, max_size=2) | st.dictionaries(text, plain, max_size=2)


def leaves() -> st.SearchStrategy[Schema]:
    fixed = st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"$ref": "#/$defs/part"}])
    constants = literals().map(lambda value: {"const": value})
    enums = st.lists(literals(), min_size=1, max_size=4, unique_by=json.dumps).map(
        lambda these: {"enum": these}
    )
    return fixed | constants | enums | integers() | numbers() | strings()


@st.composite
def arrays(draw: st.DrawFn, parts: st.SearchStrategy[Schema]) -> Schema:
    optional = {"minItems": st.integers(0, 2), "maxItems": st.integers(1, 4), "items": parts | st.just(False)}
    optional["prefixItems"] = st.lists(parts, min_size=1, max_size=3)
    return {"type": "array"} | draw(st.fixed_dictionaries({}, optional=optional))


@st.composite
def objects(draw: st.DrawFn, parts: st.SearchStrategy[Schema]) -> Schema:
    properties = draw(st.dictionaries(st.sampled_from(NAMES), parts, max_size=4))
    schema: Schema = {"type": "object", "properties": properties}
    if names := [name for name in properties if draw(st.booleans())]:
        schema["required"] = names
    if draw(st.booleans()):
        schema["patternProperties"] = {"^x-[0-9]+$": draw(parts)}
    if draw(st.booleans()):
        schema["additionalProperties"] = draw(st.just(False) | parts)
    return schema


@st.composite
def tagged(draw: st.DrawFn, parts: st.SearchStrategy[Schema]) -> Schema:
    """A `oneOf` whose choices are told apart: by a constant, or by their types."""
    tags = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=3, unique=True))
    choices = [draw(objects(parts)) for _ in tags]
    for tag, choice in zip(tags, choices, strict=True):
        choice["properties"] = {"tag": {"const": tag}} | choice["properties"]
        choice["required"] = ["tag", *choice.get("required", ())]
    return {"oneOf": [*choices, *draw(st.lists(integers() | st.just({"type": "null"}), max_size=1))]}


def composed(parts: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    choices = st.lists(parts, min_size=1, max_size=3).map(lambda these: {"anyOf": these})
    both = st.tuples(objects(parts), objects(parts)).map(lambda these: {"allOf": list(these)})
    return arrays(parts) | objects(parts) | tagged(parts) | choices | both


def schemas() -> st.SearchStrategy[Schema]:
    """Schemas of the keywords that can be forced, with one definition that they refer to, and itself."""
    any_part = st.recursive(leaves(), composed, max_leaves=6)
    chain = leaves().map(
        lambda part: {"type": "object", "properties": {"here": part, "next": {"$ref": "#/$defs/part"}}}
    )
    definitions = (integers() | strings() | chain).map(lambda part: {"$defs": {"part": part}})
    return st.tuples(composed(any_part), definitions).map(lambda pair: pair[0] | pair[1])


def parsed(text: str) -> Any:
    """The document; no object of it has a name of ours twice."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs if name in (*NAMES, "tag", "here", "next")]
        assert len(names) == len(set(names))
        return dict(pairs)

    return json.loads(text, object_pairs_hook=members)


def forced(complete: Complete, schema: Schema, seed: int) -> None:
    try:
        grammar = compile_json_schema(schema).text
    except InvalidGrammar:
        reject()
    document = parsed(complete(grammar, seed))
    Draft202012Validator(schema, format_checker=CHECKER).validate(document)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(schemas(), SEEDS)
def test_whatever_is_completed_fits_the_schema(of_bytes, schema, seed):
    forced(of_bytes, schema, seed)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(schemas(), SEEDS)
def test_tokens_of_many_bytes_write_nothing_else(of_words, schema, seed):
    forced(of_words, schema, seed)


def quoted() -> st.SearchStrategy[Schema]:
    mark = st.fixed_dictionaries(
        {"x-quote-of": st.just("text"), "x-max-words": st.integers(1, 5)},
        optional={"x-without": st.sampled_from(["\\d+", "[a-z]{3,}", "\\W"])},
    )
    return mark.map(lambda part: {"type": "string"} | part)


def found() -> st.SearchStrategy[Schema]:
    return st.sampled_from([r"\d+(?:\.\d+)?", r"[A-Za-z]+", r"\w+\W\w+", r"\S+"]).map(
        lambda pattern: {"type": "string", "x-value-of": "text", "pattern": pattern}
    )


def nullable(parts: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    return parts.map(lambda part: {"anyOf": [part, {"type": "null"}]})


@st.composite
def grounded(draw: st.DrawFn) -> Schema:
    """Lists of findings, each with quotes and values of a note."""
    plain = st.just({"enum": NAMES}) | st.just({"type": "integer", "minimum": 0, "maximum": 12})
    parts = quoted() | found() | nullable(found()) | plain
    properties = {"quote": draw(quoted())} | draw(st.dictionaries(st.sampled_from(NAMES), parts, max_size=3))
    free = (name for name in properties if name != "quote" and "anyOf" not in properties[name])
    required = ["quote", *(name for name in free if draw(st.booleans()))]
    finding = {"type": "object", "properties": properties, "required": required}
    listed = {"type": "array", "items": {"$ref": "#/$defs/finding"}, "maxItems": draw(st.integers(1, 3))}
    return {
        "type": "object",
        "properties": {"findings": listed},
        "required": ["findings"],
        "$defs": {"finding": finding},
    }


def marked(finding: dict[str, Any], schema: Schema) -> Iterator[tuple[Schema, str]]:
    for name, part in schema["$defs"]["finding"]["properties"].items():
        for choice in part.get("anyOf", [part]):
            if finding.get(name) is not None and {"x-quote-of", "x-value-of"} & choice.keys():
                yield choice, finding[name]


def stands_by_itself(text: str, span: str) -> bool:
    """Whether `span` is somewhere in `text` where it cuts no word and no number."""
    starts = [start for start in range(len(text)) if text.startswith(span, start)]
    return any(
        not (start > 0 and text[start - 1].isalnum() and span[0].isalnum())
        and not (text[start + len(span) :][:1].isalnum() and span[-1].isalnum())
        for start in starts
    )


def is_grounded(complete: Complete, note: SourceText, schema: Schema, seed: int) -> None:
    grammar = compile_output_type(grounded_type(schema, {"text": note})).text
    document = parsed(complete(grammar, seed))
    Draft202012Validator(schema).validate(document)
    for finding in document["findings"]:
        for mark, span in marked(finding, schema):
            assert span in note.text
            if "x-value-of" in mark:
                assert span in note.matches(mark["pattern"])
                continue
            assert stands_by_itself(note.text, span)
            assert 1 <= len(BLANKS.split(span)) <= mark["x-max-words"]


def any_note(notes: st.SearchStrategy[SourceText]) -> st.SearchStrategy[SourceText]:
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    signs = st.sampled_from(['"', "\\", "\r\n", "\x00", "\x1b", "//", "%"])
    words = st.sampled_from(
        ["Takes", "amlodipine", "0.5", "mg", "b.i.d.", "BP 120/80", "Sjo\u0308gren", "10-20mg"]
    )
    lines = st.lists(words | words | signs | text, min_size=1, max_size=8)
    return notes | lines.map(lambda pieces: SourceText(" ".join(pieces)))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data(), grounded(), SEEDS)
def test_every_quote_stands_in_the_note(notes, of_bytes, data, schema, seed):
    is_grounded(of_bytes, data.draw(any_note(notes)), schema, seed)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data(), grounded(), SEEDS)
def test_tokens_of_many_bytes_quote_nothing_else(notes, of_words, data, schema, seed):
    is_grounded(of_words, data.draw(any_note(notes)), schema, seed)
