import json
from functools import partial

import pytest
from extraction import SCHEMA
from figures import amid_figures, document_figures, percentile, streaming_figures
from recording import Arrival, Exchange, Recording
from stream import StreamError

DOCUMENT = {"medications": [], "problems": [], "follow_up": None}


def exchange(
    started_s: float, content_s: list[float], ended_s: float | None, text: str = "a", tokens: int = 3
) -> Exchange:
    """One answer; without an end it was cut off."""
    first, *others = [(text, at_s) for at_s in content_s[:1]] + [("b", at_s) for at_s in content_s[1:]]
    usage = {"choices": [], "usage": {"prompt_tokens": 340, "completion_tokens": tokens}}
    arrivals = [Arrival(at_s, event(_delta(piece))) for piece, at_s in (first, *others)]
    head = Arrival(started_s, b"HTTP/1.1 200 OK\r\n\r\n")
    end = [] if ended_s is None else [Arrival(ended_s, event(usage) + b"data: [DONE]\n\n")]
    return Exchange(started_s, [head, *arrivals, *end])


def event(data: dict) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def _delta(text: str) -> dict:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([3, 1, 2], 50, 2),
        ([1, 2, 3, 4], 50, 2),
        (range(1, 101), 95, 95),
        ([7], 99, 7),
        ([1, 2], 0, 1),
        ([], 50, 0),
    ],
)
def test_percentile_is_the_nearest_rank(values, percent, expected):
    assert percentile(list(values), percent) == expected


def test_figures_run_from_the_first_request_to_the_last_end():
    clients = [[exchange(10.0, [10.5, 10.6, 11.0], 11.2)], [exchange(10.1, [11.1], 12.0, tokens=1)]]
    figures = streaming_figures(Recording(clients))
    assert figures["output_tokens_per_s"] == 2.0
    assert figures["first_token_p50_ms"] == pytest.approx(500)
    assert figures["first_token_p95_ms"] == pytest.approx(1000)
    assert figures["inter_token_p99_ms"] == pytest.approx(400)
    assert (figures["prompt_tokens"], figures["answer_tokens"], figures["events"]) == (340, 2, 2)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (json.dumps(DOCUMENT), True),
        (json.dumps(DOCUMENT, indent=2), True),
        (json.dumps(DOCUMENT)[:-1], False),
        (json.dumps(DOCUMENT) * 2, False),
        (json.dumps(DOCUMENT | {"follow_up": "x" * 61}), False),
        (json.dumps(DOCUMENT | {"more": None}), False),
        ("[]", False),
    ],
)
def test_only_whole_and_valid_documents_count(text, valid):
    clients = [[exchange(0, [1], 4, json.dumps(DOCUMENT)), exchange(4, [5], 8, text)]]
    figures = partial(document_figures, schema=SCHEMA)(Recording(clients))
    assert figures["valid_documents_per_s"] == (0.25 if valid else 0.125)
    assert figures["valid_share"] == (1 if valid else 0.5)


def test_the_chats_count_only_while_the_late_request_runs():
    late = exchange(10, [19], 20)
    chat = exchange(0, [1, 2, 8, 11, 18.5], None)
    figures = amid_figures(Recording([[chat]], late))
    # 8 to 11 had begun, 11 to 18.5, and 18.5 to 20 as far as it had come; 1 to 2 and 2 to 8 were before.
    assert figures["meanwhile_gaps"] == 3
    assert figures["meanwhile_p50_ms"] == pytest.approx(3000)
    assert figures["meanwhile_p99_ms"] == pytest.approx(7500)
    assert figures["late_total_ms"] == pytest.approx(10_000)
    assert figures["late_first_token_ms"] == pytest.approx(9000)


def test_between_two_answers_of_a_chat_there_is_no_time_between_tokens():
    late = exchange(10, [19], 20)
    chats = [exchange(0, [9, 11], 12), exchange(12, [16, 17], None), Exchange(19.9, [])]
    assert amid_figures(Recording([chats], late))["meanwhile_gaps"] == 2


def test_a_chat_that_failed_is_no_figure():
    late = exchange(10, [19], 20)
    failed = Exchange(0, [Arrival(1, b"HTTP/1.1 429 Too Many\r\n\r\nfull")])
    broken = Exchange(0, [*exchange(0, [1], None).arrivals, Arrival(2, event({"error": {"code": "died"}}))])
    for chat in (failed, broken):
        with pytest.raises(StreamError):
            amid_figures(Recording([[chat]], late))
