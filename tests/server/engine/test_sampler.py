from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from server.engine.backend import BackendFault
from server.engine.logit_rows import LogitRows
from server.engine.mask import Mask
from server.engine.protocol import Sampling
from server.engine.sampler import Sampler

GRID = 400
CLOSE = 1e-6
LEVELS = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0])
ROWS = st.lists(LEVELS | st.just(-np.inf), min_size=1, max_size=9).filter(lambda row: max(row) > -np.inf)


class Grid:
    """In place of the random generator: every share of [0, 1) once, in order."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._next = 0

    def random(self) -> float:
        self._next += 1
        return (self._next - 0.5) / self.size


def float32(row: Sequence[float]) -> np.ndarray:
    return np.array(row, np.float32)


def mask(allowed: Iterable[int], vocabulary: int) -> Mask:
    bits = np.zeros(-(-vocabulary // 32) * 32, np.uint8)
    bits[list(allowed)] = 1
    return Mask(np.packbits(bits, bitorder="little").view(np.int32))


def choose(sampler: Sampler, row: Sequence[float], allowed: Iterable[int] | None = None) -> int:
    """What `sampler` takes where `row` is neither the first nor the last of its step."""
    rows = LogitRows(np.stack([float32(row)[::-1], float32(row), np.full(len(row), np.nan, np.float32)]))
    return sampler.sample(rows, 1, None if allowed is None else mask(allowed, len(row)))


def drawn(sampling: Sampling, row: Sequence[float], allowed: list[int] | None = None) -> dict[int, float]:
    """How often each token comes, measured over a grid of random numbers."""
    sampler = Sampler(sampling, vocabulary=len(row))
    sampler._random = Grid(GRID)
    counts = Counter(choose(sampler, row, allowed) for _ in range(GRID))
    return {token: count / GRID for token, count in counts.items()}


def softmax(row: dict[int, float], temperature: float = 1.0) -> dict[int, float]:
    weights = {token: np.exp(score / temperature) for token, score in row.items() if score > -np.inf}
    return {token: weight / sum(weights.values()) for token, weight in weights.items()}


def reference(sampling: Sampling, row: dict[int, float]) -> dict[int, float]:
    """Top-k, top-p, min-p, temperature: slow and obvious. Assumes no sum falls on an edge."""
    best = sorted(softmax(row), key=lambda token: (-row[token], token))
    if sampling.top_k:
        best = best[: sampling.top_k]
    share = softmax({token: row[token] for token in best})
    kept, mass = [], 0.0
    for token in best:
        assume(sampling.top_p == 1 or not 0 < abs(mass - sampling.top_p) < CLOSE)
        if mass >= sampling.top_p:
            break
        kept.append(token)
        mass += share[token]
    edge = sampling.min_p * share[best[0]]
    assume(all(abs(share[token] - edge) > CLOSE for token in kept))
    return softmax({token: row[token] for token in kept if share[token] >= edge}, sampling.temperature)


SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.7, 1.0, 2.0]),
    top_k=st.integers(0, 10),
    top_p=st.sampled_from([1e-6, 0.2, 0.5, 0.77, 0.95, 1.0]),
    min_p=st.sampled_from([0.0, 0.2, 0.47, 0.9]),
)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(SAMPLINGS, ROWS)
def test_candidates_and_their_shares_are_those_of_the_definition(sampling, row):
    expected = reference(sampling, dict(enumerate(row)))
    measured = drawn(sampling, row)

    assert measured.keys() == expected.keys()
    assert measured == pytest.approx(expected, abs=2 / GRID)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(SAMPLINGS, ROWS, st.data())
def test_among_allowed_tokens_as_if_there_were_no_others(sampling, row, data):
    possible = [token for token, score in enumerate(row) if score > -np.inf]
    allowed = sorted(data.draw(st.sets(st.sampled_from(possible), min_size=1)))
    expected = reference(sampling, {token: row[token] for token in allowed})

    assert drawn(sampling, row, allowed).keys() == expected.keys()


@pytest.mark.parametrize("top_p", [0.01, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0, 8.0])
def test_top_p_of_a_large_vocabulary_ends_at_the_same_token(spread, top_p):
    row = (np.random.default_rng(7).normal(size=5000) * spread).astype(np.float32)
    sampler = Sampler(Sampling(temperature=1.0, top_p=top_p))
    sampler._random = Grid(1)
    sampler._random.random = lambda: np.nextafter(1.0, 0.0)

    order = np.argsort(-row, kind="stable")
    mass = np.exp(row[order].astype(np.float64)).cumsum()
    last = order[int((mass / mass[-1] < top_p).sum())]

    assert choose(sampler, row) == last


def test_greedy_takes_the_largest():
    assert choose(Sampler(Sampling()), [0, 3, 2]) == 1


def test_greedy_takes_the_first_of_equals():
    assert choose(Sampler(Sampling()), [0, 3, 3]) == 1


def test_greedy_among_the_allowed():
    assert choose(Sampler(Sampling()), [5, 1, 2, 4], [1, 2]) == 2


def test_greedy_ignores_the_other_filters():
    assert choose(Sampler(Sampling(top_k=1, top_p=0.1, min_p=0.9, seed=1)), [0, 3, 2]) == 1


def test_equals_at_the_edge_of_top_k_go_to_the_earlier():
    assert drawn(Sampling(temperature=1.0, top_k=2), [1.0, 0.0, 0.0, 0.0]).keys() == {0, 1}


def test_top_k_of_one_is_greedy():
    assert drawn(Sampling(temperature=2.0, top_k=1), [0.0, 1.0, 1.0]) == {1: 1.0}


@pytest.mark.parametrize("top_k", [0, 2, 3, 4, 1000])
def test_the_impossible_is_never_drawn(top_k):
    row = [-np.inf, 0.0, -np.inf, -np.inf]
    assert drawn(Sampling(temperature=2.0, top_k=top_k), row) == {1: 1.0}


def test_what_is_too_unlikely_for_a_float_is_never_drawn():
    sampler = Sampler(Sampling(temperature=1.0))
    sampler._random = Grid(1)
    sampler._random.random = lambda: 0.0
    assert choose(sampler, [-1000.0, 0.0]) == 1


@pytest.mark.parametrize("temperature", [1e-30, 1e-6])
def test_the_coldest_is_greedy(temperature):
    with np.errstate(over="ignore"):
        assert drawn(Sampling(temperature=temperature), [0.0, 1.0, 0.5]) == {1: 1.0}


def test_draws_follow_the_distribution():
    row, temperature, draws = [2.0, 1.0, 0.5, 0.0, -1.0, -2.0], 0.8, 20_000
    sampler = Sampler(Sampling(temperature=temperature, seed=20))
    counts = Counter(choose(sampler, row) for _ in range(draws))

    expected = softmax(dict(enumerate(row)), temperature)
    chi_square = sum(
        (counts[token] - draws * share) ** 2 / (draws * share) for token, share in expected.items()
    )
    assert chi_square < 20.5  # 5 degrees of freedom, p = 0.001


@pytest.mark.parametrize("seed", [0, 1, -1, 2**63 - 1, -(2**63)])
def test_a_seed_repeats_the_draws(seed):
    row = np.random.default_rng(1).normal(size=300).astype(np.float32)
    first, second = (Sampler(Sampling(temperature=1.5, seed=seed)) for _ in range(2))
    assert [choose(first, row) for _ in range(20)] == [choose(second, row) for _ in range(20)]


def test_without_a_seed_draws_differ():
    row = np.zeros(1000, np.float32)
    first, second = (Sampler(Sampling(temperature=1.0)) for _ in range(2))
    assert [choose(first, row) for _ in range(20)] != [choose(second, row) for _ in range(20)]


def penalized(sampling: Sampling, row: list[float], prompt: list[int], answer: list[int]) -> list[float]:
    row = list(row)
    for token in set((prompt + answer)[-64:]):
        penalty = sampling.repeat_penalty
        row[token] = row[token] / penalty if row[token] > 0 else row[token] * penalty
    for token, count in Counter(answer).items():
        row[token] -= sampling.presence_penalty + sampling.frequency_penalty * count
    return row


TOKENS = st.lists(st.integers(0, 7), max_size=90)


PENALTIES = st.builds(
    Sampling,
    repeat_penalty=st.sampled_from([0.5, 1.0, 1.5]),
    presence_penalty=st.sampled_from([-2.0, 0.0, 0.3]),
    frequency_penalty=st.sampled_from([-1.0, 0.0, 0.7]),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(PENALTIES, st.lists(LEVELS, min_size=8, max_size=8), TOKENS, TOKENS)
def test_penalties_are_those_of_the_definition(sampling, row, prompt, answer):
    sampler = Sampler(sampling, prompt)
    sampler.observe(answer)
    logits = float32(row)

    assert sampler._adjust(logits).tolist() == pytest.approx(
        penalized(sampling, row, prompt, answer), abs=1e-4
    )
    assert logits.tolist() == row, "the backend's own logits were changed"


def test_a_penalty_decides():
    sampler = Sampler(Sampling(presence_penalty=1.0))
    row = float32([1.0, 0.5])
    assert choose(sampler, row) == 0
    sampler.observe([0])
    assert choose(sampler, row) == 1


def test_the_prompt_counts_for_repetition_only():
    row = float32([1.0, 0.9])
    assert choose(Sampler(Sampling(repeat_penalty=2.0), [0]), row) == 1
    assert choose(Sampler(Sampling(presence_penalty=2.0, frequency_penalty=2.0), [0]), row) == 0


def test_repetition_is_forgotten_after_64_tokens():
    sampler = Sampler(Sampling(repeat_penalty=2.0), [0])
    sampler.observe([2] * 63)
    assert choose(sampler, [1.0, 0.9, 0.0]) == 1
    sampler.observe([2])
    assert choose(sampler, [1.0, 0.9, 0.0]) == 0


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(LEVELS, min_size=8, max_size=8),
    st.dictionaries(st.integers(0, 7), st.floats(-100, 100)),
    TOKENS,
)
def test_a_bias_is_added_after_the_penalties(row, bias, answer):
    sampling = Sampling(repeat_penalty=1.5, frequency_penalty=0.7, logit_bias=bias)
    sampler = Sampler(sampling, vocabulary=8)
    sampler.observe(answer)
    expected = penalized(sampling, row, [], answer)
    for token, value in bias.items():
        expected[token] += value

    assert sampler._adjust(float32(row)).tolist() == pytest.approx(expected, abs=1e-4)


def test_a_bias_bans_and_forces():
    row = [5.0, 20.0, -20.0, 1.0]
    assert drawn(Sampling(temperature=2.0, logit_bias={1: -100}), row).keys() == {0, 3}
    assert drawn(Sampling(temperature=2.0, logit_bias={2: 100}), row).keys() == {2}
    assert choose(Sampler(Sampling(logit_bias={2: 100}), vocabulary=4), row) == 2


def test_the_grammar_stands_above_a_bias():
    sampler = Sampler(Sampling(logit_bias={0: 100}), vocabulary=3)
    assert choose(sampler, [0.0, 1.0, 2.0], [1, 2]) == 2


@pytest.mark.parametrize("token", [-1, 3, 2**40])
def test_a_bias_on_what_is_no_token_is_refused(token):
    with pytest.raises(ValueError, match="no token id"):
        Sampler(Sampling(logit_bias={0: 1.0, token: 1.0}), vocabulary=3)


def test_a_bias_is_refused_where_the_vocabulary_is_unknown():
    with pytest.raises(ValueError, match="no token id"):
        Sampler(Sampling(logit_bias={0: 1.0}))


@pytest.mark.parametrize("value", [100.1, -101, np.inf, -np.inf, np.nan])
def test_a_bias_that_could_break_the_logits_is_refused(value):
    with pytest.raises(ValueError, match="-100 to 100"):
        Sampler(Sampling(logit_bias={0: value}), vocabulary=3)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**32),
    st.sampled_from([300, 4096, 5001]),
    st.sampled_from([0.002, 0.1, 0.5, 0.99]),
    st.integers(1, 90),
    st.sampled_from([0, 3]),
)
def test_top_k_of_the_allowed_in_a_large_vocabulary(seed, vocabulary, density, top_k, decimals):
    random = np.random.default_rng(seed)
    row = random.normal(size=vocabulary).round(decimals).astype(np.float32)
    allowed = [*np.flatnonzero(random.random(vocabulary) < density).tolist(), vocabulary - 1]
    sampler = Sampler(Sampling(temperature=1.0, top_k=top_k))

    ids, scores = sampler._among(LogitRows(row[np.newaxis]), 0, mask(allowed, vocabulary))

    expected = sorted(set(allowed), key=lambda token: (-row[token], token))[:top_k]
    assert ids.tolist() == expected
    assert scores.tolist() == pytest.approx((row[expected] - row[expected[0]]).tolist())
    assert choose(Sampler(Sampling()), row, allowed) == expected[0]


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(temperature=1.0), Sampling(temperature=1.0, top_k=2)]
)
@pytest.mark.parametrize("row", [[1.0, -np.inf, -np.inf], [1.0, np.nan, 0.0], [1.0, 0.0, np.inf]])
def test_what_is_allowed_and_no_number_is_a_fault(sampling, row):
    with pytest.raises(BackendFault):
        choose(Sampler(sampling), row, [1, 2])


def test_several_rows_of_one_sequence_are_sampled_in_order():
    rows = LogitRows(np.stack([float32([1.0, 0.9, 0.0])] * 3))
    sampler = Sampler(Sampling(presence_penalty=0.5))
    chosen = []
    for row in range(3):
        chosen.append(sampler.sample(rows, row))
        sampler.observe(chosen[-1:])
    assert chosen == [0, 1, 0]


def test_the_logits_are_never_changed():
    logits = np.stack([float32([1.0, 0.9, 0.0])])
    logits.flags.writeable = False
    sampling = Sampling(temperature=1.0, presence_penalty=0.5, top_p=0.9, min_p=0.1, logit_bias={1: 1.0})
    sampler = Sampler(sampling, [0], vocabulary=3)
    sampler.observe([0])
    sampler.sample(LogitRows(logits), 0, mask([0, 1], 3))
