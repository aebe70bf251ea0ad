"""What choosing the tokens adds to a decode step, in milliseconds; of the weights only the vocabulary."""

import itertools
import json
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import NamedTuple

import click
import numpy as np

from server.engine.backend import Logits
from server.engine.llama.vocabulary import Vocabulary
from server.engine.logit_rows import LogitRows
from server.engine.matcher import Matcher
from server.engine.protocol import Sampling
from server.engine.sampler import Sampler
from server.grammar.compiler import compile_json_schema
from server.inference.weights import weights_file

SEQUENCES = 32
# Together more than a processor's caches hold, as logits of a decode step are seldom found there.
STEPS = 12
DOCUMENT = {
    "patient": "seen in the emergency department with chest pain",
    "age": 57,
    "allergies": ["penicillin", "latex"],
    "follow_up": True,
}
SCHEMA = {
    "type": "object",
    "properties": {
        "patient": {"type": "string"},
        "age": {"type": "integer"},
        "allergies": {"type": "array", "items": {"type": "string"}},
        "follow_up": {"type": "boolean"},
    },
    "required": list(DOCUMENT),
    "additionalProperties": False,
}

GREEDY = Sampling()
TOP_K = Sampling(temperature=0.8, top_k=40, top_p=0.95)
NUCLEUS = Sampling(temperature=0.8, top_p=0.95)

Step = Callable[[Logits], object]


class Row(NamedTuple):
    """One line of the table: what is timed, on which steps' logits, and the most it may take."""

    name: str
    step: Step
    steps: Sequence[Logits]
    limit_ms: float | None = None


def made_up(vocabulary: int, seed: int) -> Logits:
    """Logits [sequences, vocabulary]: a broad bulk, and per sequence some dozens of words that stand out."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2, size=(SEQUENCES, vocabulary)).astype(np.float32)
    for row in logits:
        row[random.choice(vocabulary, 60, replace=False)] += random.exponential(3, 60) + 7
    return logits


def sample_all(sampling: Sampling, matchers: Sequence[Matcher] | None = None) -> Step:
    """A step of all sequences, each with a sampler of its own, as the engine's loop makes it."""
    samplers = [Sampler(sampling) for _ in range(SEQUENCES)]

    def step(logits: Logits) -> list[int]:
        rows = LogitRows(logits)
        if matchers is None:
            return [sampler.sample(rows, row) for row, sampler in enumerate(samplers)]
        return [sampler.sample(rows, row, matchers[row].allowed()) for row, sampler in enumerate(samplers)]

    return step


def along_the_document(vocabulary: Vocabulary) -> tuple[list[Matcher], list[int]]:
    """Matchers that have read more and more of a JSON document, and for each the document's next token."""
    tokenizer = vocabulary.guidance_tokenizer()
    grammar = compile_json_schema(SCHEMA).text
    tokens = vocabulary.tokenize(json.dumps(DOCUMENT, separators=(",", ":")), control=False)
    matchers, following = [], []
    for length in itertools.islice(itertools.cycle(range(len(tokens))), SEQUENCES):
        matcher = Matcher(tokenizer, grammar)
        for token in tokens[:length]:
            matcher.accept(token)
        matchers.append(matcher)
        following.append(tokens[length])
    return matchers, following


def favouring(steps: Sequence[Logits], tokens: Sequence[int]) -> list[Logits]:
    """Copies of `steps` in which each sequence's likeliest token is the one given."""
    favoured = [logits.copy() for logits in steps]
    for logits in favoured:
        logits[np.arange(SEQUENCES), tokens] = logits.max(axis=1) + 1
    return favoured


def times_ms(row: Row, repeat: int) -> list[float]:
    """What `repeat` runs take, over the steps in turn."""
    taken = []
    for logits in itertools.islice(itertools.cycle(row.steps), repeat):
        started = perf_counter()
        row.step(logits)
        taken.append((perf_counter() - started) * 1000)
    return taken


def table() -> list[Row]:
    """What is measured; a grammar's rows include the making of its masks."""
    vocabulary = Vocabulary.load(weights_file(None))
    steps = [made_up(vocabulary.size, seed) for seed in range(STEPS)]
    matchers, following = along_the_document(vocabulary)
    likely = favouring(steps, following)
    return [
        Row("greedy", sample_all(GREEDY), steps, 0.3),
        Row("top_k 40, top_p 0.95", sample_all(TOP_K), steps, 1.0),
        Row("top_p 0.95 alone", sample_all(NUCLEUS), steps),
        Row("masks of a JSON grammar alone", lambda _: [m.allowed() for m in matchers], steps),
        Row("greedy, JSON grammar", sample_all(GREEDY, matchers), likely),
        Row("greedy, JSON grammar, favourite not allowed", sample_all(GREEDY, matchers), steps),
        Row("top_k 40, top_p 0.95, JSON grammar", sample_all(TOP_K, matchers), likely),
    ]


@click.command()
@click.option("--repeat", default=300, type=click.IntRange(1), show_default=True, help="Runs of each row.")
def main(repeat: int) -> None:
    """Print the median and the least milliseconds of a step of 32 sequences, and what is allowed."""
    click.echo(f"{f'ms for {SEQUENCES} sequences':45} median  least  limit")
    for row in table():
        limit = "" if row.limit_ms is None else f"{row.limit_ms:.1f}"
        taken = times_ms(row, repeat)
        click.echo(f"{row.name:45} {median(taken):6.3f} {min(taken):6.3f} {limit:>6}")


if __name__ == "__main__":
    main()
