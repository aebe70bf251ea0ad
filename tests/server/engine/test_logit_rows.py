import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.backend import BackendFault
from server.engine.logit_rows import LogitRows

LEVELS = [-np.inf, -2.5, -1.0, -0.0, 0.0, 0.25, 0.5, 3.0]
BROKEN = [np.nan, np.inf]


@st.composite
def steps(draw):
    """Rows without a tie, or of little else; some too short for columns, some that leave a remainder."""
    rows = draw(st.integers(1, 4))
    vocabulary = draw(st.integers(1, 40) | st.sampled_from([2048, 4095, 4096, 4097, 6144, 7001]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = draw(st.sampled_from([2, 4, len(LEVELS), 0]))
    if not levels:
        return random.normal(size=(rows, vocabulary)).astype(np.float32)
    logits = random.choice(LEVELS[:levels], (rows, vocabulary), p=shares(levels)).astype(np.float32)
    logits[np.arange(rows), random.integers(vocabulary, size=rows)] = 2.0
    return logits


def shares(levels: int) -> list[float]:
    """The higher a level, the rarer."""
    weights = 0.1 ** np.arange(levels)
    return (weights / weights.sum()).tolist()


def sorted_ids(row: np.ndarray) -> list[int]:
    return sorted(range(row.size), key=lambda token: (-row[token], token))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(steps(), st.integers(1, 80) | st.sampled_from([1000, 1024, 1025, 4096, 10_000]))
def test_the_top_is_the_start_of_a_full_sort(logits, k):
    before, rows = logits.copy(), LogitRows(logits)

    for row, values in enumerate(logits):
        expected = sorted_ids(values)[:k]
        ids, top = rows.top(row, k)
        assert ids.tolist() == expected
        assert top.tolist() == values[expected].tolist()
        assert rows.argmax(row) == expected[0]
        assert rows.largest(row) == values[expected[0]]
    assert (logits == before).all(), "the backend's own logits were changed"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(steps(), st.integers(0, 20), st.data())
def test_logprobs_are_those_of_the_definition(logits, count, data):
    row = data.draw(st.integers(0, len(logits) - 1))
    token = data.draw(st.integers(0, logits.shape[1] - 1))
    weights = np.exp(logits[row].astype(np.float64))
    with np.errstate(divide="ignore"):
        expected = np.log(weights / weights.sum())

    found = LogitRows(logits).logprobs(row, token, count)

    assert found.logprob == pytest.approx(expected[token], abs=1e-5)
    assert [likely for likely, _ in found.top] == sorted_ids(logits[row])[:count]
    assert [logprob for _, logprob in found.top] == pytest.approx(
        expected[sorted_ids(logits[row])[:count]], abs=1e-5
    )


def test_probabilities_sum_to_one():
    logits = np.random.default_rng(3).normal(size=(2, 5000)).astype(np.float32) * 4
    found = LogitRows(logits).logprobs(1, 7, 5000)
    assert sum(np.exp(logprob) for _, logprob in found.top) == pytest.approx(1, abs=1e-6)
    assert dict(found.top)[7] == found.logprob


def test_large_logits_do_not_overflow():
    found = LogitRows(np.array([[1e30, 1e30, -1e30]], np.float32)).logprobs(0, 0, 2)
    assert found.logprob == pytest.approx(np.log(0.5))
    assert [token for token, _ in found.top] == [0, 1]


@pytest.mark.parametrize("vocabulary", [5, 5000])
@pytest.mark.parametrize("where", [0, -1])
@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize(
    "ask",
    [
        lambda rows: rows.argmax(1),
        lambda rows: rows.largest(1),
        lambda rows: rows.top(1, 2),
        lambda rows: rows.total(1),
        lambda rows: rows.logprobs(1, 1, 0),
    ],
    ids=["argmax", "largest", "top", "total", "logprobs"],
)
def test_one_broken_logit_is_a_fault_of_its_row(ask, broken, where, vocabulary):
    logits = np.zeros((2, vocabulary), np.float32)
    logits[1, where] = broken
    rows = LogitRows(logits)

    with pytest.raises(BackendFault):
        ask(rows)
    assert rows.argmax(0) == 0
    assert rows.top(0, 2)[0].tolist() == [0, 1]


@pytest.mark.parametrize("value", [*BROKEN, -np.inf])
@pytest.mark.parametrize("vocabulary", [5, 5000])
def test_a_row_of_nothing_but_broken_logits_is_a_fault(vocabulary, value):
    rows = LogitRows(np.full((1, vocabulary), value, np.float32))
    with pytest.raises(BackendFault):
        rows.argmax(0)
    with pytest.raises(BackendFault):
        rows.top(0, 3)
