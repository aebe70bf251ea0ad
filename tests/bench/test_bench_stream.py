import json

import pytest
from recording import Arrival, Exchange
from stream import Dechunker, EventReader, StreamError, read_answer, read_events, text_times

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
USAGE = {"choices": [], "usage": {"prompt_tokens": 340, "completion_tokens": 3}}


def chunk(payload: bytes) -> bytes:
    return f"{len(payload):x}\r\n".encode() + payload + b"\r\n"


def event(data: dict) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def delta(**fields: str | None) -> dict:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def response(*events: bytes) -> bytes:
    return HEAD + b"".join(chunk(each) for each in (*events, b"data: [DONE]\n\n")) + b"0\r\n\r\n"


def arrivals(raw: bytes, size: int) -> list[Arrival]:
    """`raw` cut into pieces of `size` bytes; the n-th arrives at second n."""
    return [Arrival(start // size, raw[start : start + size]) for start in range(0, len(raw), size)]


ANSWER = response(
    event(delta(role="assistant", content=None)),
    event(delta(content="")),
    event(delta(content='A "content": ')),
    event(delta(content="é")),
    event(delta()),
    event(USAGE),
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_an_answer_is_read_alike_however_its_bytes_are_cut(size):
    answer = read_answer(Exchange(-1.0, arrivals(ANSWER, size)))
    assert answer.text == 'A "content": é'
    assert len(answer.content_s) == 2
    assert (answer.prompt_tokens, answer.completion_tokens) == (340, 3)
    assert answer.ended_s == (len(ANSWER) - 1) // size


def test_an_event_has_the_time_of_the_bytes_that_complete_it():
    whole = response(event(delta(content="one")), event(delta(content="two")), event(USAGE))
    cut = whole.index(b"one")
    first, second = Arrival(1.0, whole[:cut]), Arrival(2.0, whole[cut:])
    assert read_answer(Exchange(0.0, [first, second])).content_s == (2.0, 2.0)


def test_an_answer_that_was_cut_off_has_its_times():
    begun = response(event(delta(content="one")), event(delta(content="two")))
    cut = Exchange(0.0, arrivals(begun[: begun.index(b"two")], 50))
    assert len(text_times(cut)) == 1
    assert text_times(Exchange(0.0, [])) == ()
    with pytest.raises(StreamError):
        read_answer(cut)


def test_a_body_without_chunks_is_read_too():
    raw = b"HTTP/1.1 200 OK\r\n\r\ndata: a\r\n\r\n: comment\r\ndata:b\r\n\r\n"
    assert [found.data for found in read_events(arrivals(raw, 5))] == [b"a", b"b"]


def test_a_half_chunk_and_a_half_line_wait():
    dechunker, reader = Dechunker(), EventReader()
    assert dechunker.feed(b"4\r\nda") == b""
    assert dechunker.feed(b"ta\r") == b""
    assert dechunker.feed(b"\n4;name=value\r\n: x\n\r\n") == b"data: x\n"
    assert reader.feed(b"dat") == []
    assert reader.feed(b"a: x") == []
    assert reader.feed(b"\n") == [b"x"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"HTTP/1.1 429 Too Many\r\n\r\nthe queue is full", "429 Too Many: the queue is full"),
        (b"HTTP/1.1 200 OK\r\n", "before the headers"),
        (response(event(delta(content="a")), event({"error": {"code": "engine_died"}})), "engine_died|DONE"),
        (response(event(USAGE)), "without any text"),
    ],
)
def test_what_is_no_whole_answer_is_refused(raw, message):
    with pytest.raises(StreamError, match=message):
        read_answer(Exchange(0.0, arrivals(raw, 9)))
