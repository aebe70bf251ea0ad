"""What fields that hold codes of ICD-10-CM cost: once, for each request, and for each token; on one core."""

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from random import Random
from time import perf_counter

import click
import numpy as np
import psutil

from server.engine.llama.vocabulary import Vocabulary
from server.engine.matcher import Matcher
from server.engine.matcher_stack import CodeMatchers, MatcherStack
from server.grammar.code_pattern import code_grammar
from server.grammar.code_systems import CodeSystem, CodeSystems
from server.grammar.coded import compile_marked
from server.grammar.marks import CODE_IN, MAX_WORDS, QUOTE_OF
from server.grammar.spans import SourceText
from server.inference.weights import weights_file

NOTE = (
    "Seen for follow-up of type 2 diabetes with hyperglycemia and stage 3 chronic kidney disease. Essential "
    "hypertension, controlled. Closed fracture of the left distal radius, healed. Insulin since 2019. "
)
FINDING = {
    "type": "object",
    "properties": {
        "quote": {"type": "string", QUOTE_OF: "text", MAX_WORDS: 6},
        "code": {"type": "string", CODE_IN: "icd-10-cm"},
    },
    "required": ["quote", "code"],
}
SCHEMA = {"type": "array", "items": FINDING, "maxItems": 20}


def leaf_codes() -> list[str]:
    """All codes of ICD-10-CM that nothing is below."""
    import simple_icd_10_cm as icd  # noqa: PLC0415 - loading it takes seconds

    # Blocks of a single category are listed under the category's own name.
    return list(dict.fromkeys(code for code in icd.get_all_codes() if icd.is_leaf(code)))


def timed(work: Callable[[], object], repeat: int) -> list[float]:
    """Milliseconds of each run."""
    taken = []
    for _ in range(repeat):
        started = perf_counter()
        work()
        taken.append((perf_counter() - started) * 1000)
    return taken


def told(name: str, milliseconds: Sequence[float]) -> None:
    p50, p99 = np.percentile(milliseconds, [50, 99])
    click.echo(f"{name:58} {p50:9.3f} {p99:9.3f} {max(milliseconds):9.3f} {len(milliseconds):7}")


def resident_mib() -> float:
    return psutil.Process().memory_info().rss / 2**20


def field_masks(
    matcher: MatcherStack, vocabulary: Vocabulary, codes: Iterable[str]
) -> tuple[list[float], list[float]]:
    """Milliseconds of the mask and of the taking of each token of `codes`, written as one list."""
    masks, steps = [], []
    for code in codes:
        left = f'{code}"'.encode()
        while left:
            started = perf_counter()
            allowed = matcher.allowed()
            masks.append((perf_counter() - started) * 1000)
            fitting = (token for token in allowed.ids.tolist() if left.startswith(vocabulary.piece(token)))
            token = max(fitting, key=lambda token: len(vocabulary.piece(token)))
            left = left.removeprefix(vocabulary.piece(token))
            started = perf_counter()
            matcher.accept(token)
            steps.append((perf_counter() - started) * 1000)
        for token in vocabulary.tokenize(',"', control=False):
            matcher.accept(token)
    return masks, steps


@click.command()
@click.option("--repeat", default=20, type=click.IntRange(1), show_default=True)
@click.option("--fields", default=3000, type=click.IntRange(1), show_default=True, help="Codes to write.")
def main(repeat: int, fields: int) -> None:
    """Print milliseconds: median, 99th percentile, greatest, and of how many."""
    codes = leaf_codes()
    vocabulary = Vocabulary.load(weights_file(None))
    tokenizer = vocabulary.guidance_tokenizer()
    systems = CodeSystems(
        [CodeSystem("icd-10-cm", None, "", dict.fromkeys(codes, ""))], vocabulary.placeholders
    )
    source = {"text": SourceText(NOTE * 8)}
    grammar = compile_marked(SCHEMA, source, systems)
    (placeholder,) = grammar.code_sets
    set_grammar = code_grammar(codes)
    click.echo(f"{len(codes)} codes; their grammar has {len(set_grammar) / 1e6:.2f} MB")
    click.echo(f"{'ms':58} {'p50':>9} {'p99':>9} {'max':>9} {'of':>7}")

    told("once: the set's grammar written", timed(lambda: code_grammar(codes), 3))
    before = resident_mib()
    kept: list[CodeMatchers] = []
    told(
        "once: the set compiled", timed(lambda: kept.append(CodeMatchers(Matcher(tokenizer, set_grammar))), 1)
    )
    compiled_mib = resident_mib() - before
    sets = {placeholder: kept[0]}

    def first_mask(text: str) -> None:
        Matcher(tokenizer, text).allowed()

    one = json.loads(grammar.text)["grammars"][0]["lark_grammar"] if grammar.text[0] == "{" else grammar.text
    rule = set_grammar.partition("CODE: ")[2]
    one = one.replace(f"<[{placeholder}]>", "CODE")
    listed = f'{one}\nCODE: ({" | ".join(map(json.dumps, codes))}) "\\""'
    folded = f"{one}\nCODE: {rule}"
    told("a request: note and a list of codes in one grammar", timed(lambda: first_mask(listed), repeat))
    told("a request: note and the set's pattern in one grammar", timed(lambda: first_mask(folded), repeat))
    told("a request: the note's grammar alone", timed(lambda: first_mask(grammar.text), repeat))
    told(
        "a request: the note's grammar with the set stacked on it",
        timed(lambda: MatcherStack(Matcher(tokenizer, grammar.text), sets).allowed(), repeat),
    )
    compiled = Matcher(tokenizer, grammar.text)
    told("  of that, the stacking", timed(lambda: MatcherStack(compiled, sets), repeat))
    told("  a matcher of the set on top", timed(kept[0].matcher, repeat))

    list_grammar = f'start: "[\\"" <[{placeholder}]> (",\\"" <[{placeholder}]>)* "]"'
    random = Random(1)
    for name, written in (
        ("masks at the field, codes drawn from all", random.sample(codes, fields)),
        ("masks at the field, fifty codes again and again",
         list(itertools.islice(itertools.cycle(random.sample(codes, 50)), fields))),
    ):  # fmt: skip
        matcher = MatcherStack(Matcher(tokenizer, list_grammar), sets)
        matcher.forced()
        before = resident_mib()
        masks, steps = field_masks(matcher, vocabulary, written)
        told(name, masks)
        told("  taking the tokens", steps)
        click.echo(f"  grew by {resident_mib() - before:.1f} MiB")
    click.echo(f"memory: {compiled_mib:.1f} MiB compiled")


if __name__ == "__main__":
    main()
