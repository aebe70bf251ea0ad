import select
import socket
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine import channel as channel_module
from server.engine.channel import HEADER, Channel, ChannelClosed
from server.engine.protocol import Cancel, Output, Step, Submit


class ImpatientSelect:
    """`select` that fails a test where the real one would wait for ever."""

    @staticmethod
    def select(readers, writers, errors, timeout):
        ready = select.select(readers, writers, errors, 0)
        assert ready[0] or timeout == 0, "this would wait for ever"
        return ready


@pytest.fixture(autouse=True, scope="module")
def impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel_module, "select", ImpatientSelect)
        yield


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Channel]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, Channel(theirs)


def frame(message) -> bytes:
    payload = msgspec.msgpack.encode(message)
    return HEADER.pack(len(payload)) + payload


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 300).map(lambda size: Submit(size, [1] * size, 4)), max_size=5), st.data())
def test_frames_may_be_split_at_any_byte(messages, data):
    stream = b"".join(map(frame, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = Channel(theirs)
        received = []
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            ours.sendall(stream[start:end])
            received += channel.receive(wait=False)
        assert received == messages


def test_several_frames_in_one_read(pair):
    ours, channel = pair
    ours.sendall(frame(Cancel(1)) + frame(Cancel(2)) + frame(Cancel(3)))
    assert list(channel.receive(wait=True)) == [Cancel(1), Cancel(2), Cancel(3)]


def test_a_frame_without_its_end_does_not_hold_up_the_one_before(pair):
    ours, channel = pair
    ours.sendall(frame(Cancel(1)))
    received = channel.receive(wait=True)
    assert next(received) == Cancel(1)
    ours.sendall(frame(Cancel(2))[:-1])
    assert list(received) == []
    ours.sendall(frame(Cancel(2))[-1:])
    assert list(channel.receive(wait=True)) == [Cancel(2)]


def test_nothing_lost_where_only_the_first_message_is_taken(pair):
    ours, channel = pair
    ours.sendall(frame(Cancel(1)) + frame(Cancel(2)))
    assert next(iter(channel.receive(wait=True))) == Cancel(1)
    assert list(channel.receive(wait=False)) == [Cancel(2)]


def test_without_waiting_nothing_is_nothing(pair):
    assert list(pair[1].receive(wait=False)) == []


def test_what_was_sent_before_the_end_is_still_read(pair):
    ours, channel = pair
    ours.sendall(frame(Cancel(1)))
    ours.close()
    received = channel.receive(wait=True)
    assert next(received) == Cancel(1)
    with pytest.raises(ChannelClosed):
        next(received)


@pytest.mark.parametrize("wait", [True, False])
def test_the_end_is_told(pair, wait):
    ours, channel = pair
    ours.close()
    with pytest.raises(ChannelClosed):
        list(channel.receive(wait=wait))


def test_sending_to_nobody_is_told(pair):
    ours, channel = pair
    ours.close()
    with pytest.raises(ChannelClosed):
        channel.send(Step([], 0, 0, 0, 0.0))


def test_a_message_is_sent_as_one_frame(pair):
    ours, channel = pair
    step = Step([Output(1, [5], "stop")], 1, 2, 3, 0.5)
    channel.send(step)
    assert ours.recv(4096) == frame(step)


def test_what_is_overheard_is_still_received(pair):
    ours, channel = pair
    assert list(channel.overhear()) == []
    ours.sendall(frame(Cancel(1)) + frame(Cancel(2))[:3])
    assert list(channel.overhear()) == [Cancel(1)]
    ours.sendall(frame(Cancel(2))[3:])
    assert list(channel.overhear()) == [Cancel(1), Cancel(2)]
    assert list(channel.receive(wait=True)) == [Cancel(1), Cancel(2)]
    assert list(channel.overhear()) == []


def test_overhearing_a_closed_channel_says_so(pair):
    ours, channel = pair
    ours.close()
    with pytest.raises(ChannelClosed):
        channel.overhear()
