"""What no client should do with a connection; spoken over a bare socket."""

import contextlib
import json
import select
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest

CHAT = "/v1/chat/completions"
NOTE = "/v1/clinical/medications"
GOOD = {"model": "auto", "messages": [{"role": "user", "content": "How is he?"}], "max_tokens": 4}
MEGABYTE = 1 << 20
CHUNK = b"x" * (1 << 16)


def send_until_answered(sock: socket.socket, size: int) -> int:
    sent = 0
    while sent < size and not select.select([sock], [], [], 0)[0]:
        send(sock, len(CHUNK))
        sent += len(CHUNK)
    return sent


def send(sock: socket.socket, size: int) -> None:
    for _ in range(0, size, len(CHUNK)):
        sock.sendall(b"%x\r\n%s\r\n" % (len(CHUNK), CHUNK))


def memory_of(server) -> int:
    return psutil.Process(server.process.pid).memory_info().rss


@contextlib.contextmanager
def connected(server) -> Iterator[socket.socket]:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as sock:
        yield sock


def head(server, path: str, key: str, *headers: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: infirmary",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def status_of(sock: socket.socket) -> int:
    with sock.makefile("rb") as answer:
        return int(answer.readline().split()[1])


def until_closed(sock: socket.socket) -> bytes:
    """What is answered until the server hangs up, which it may do with our bytes unread."""
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(1 << 16):
            answer += part
    return answer


@pytest.mark.parametrize("path", [CHAT, NOTE])
def test_a_large_body_that_says_so(server, key: str, path: str) -> None:
    with connected(server) as sock:
        sock.sendall(head(server, path, key, f"Content-Length: {50 * MEGABYTE}"))
        assert status_of(sock) == 413


@pytest.mark.parametrize("path", [CHAT, NOTE])
def test_a_large_body_that_does_not_say_so(server, key: str, path: str) -> None:
    """It is refused soon after the limit, and what still comes is not kept."""
    before = memory_of(server)
    with connected(server) as sock:
        sock.sendall(head(server, path, key, "Transfer-Encoding: chunked"))
        sent = send_until_answered(sock, 50 * MEGABYTE)
        assert sent < 25 * MEGABYTE
        assert status_of(sock) == 413
        with contextlib.suppress(ConnectionError):
            send(sock, 50 * MEGABYTE - sent)
        assert memory_of(server) - before < 25 * MEGABYTE


@pytest.mark.parametrize("path", [CHAT, NOTE])
@pytest.mark.parametrize("length", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("expect", ["Expect: 100-continue", "X-Nothing: 1"])
def test_a_wrong_key_before_the_body(server, path: str, length: str, expect: str) -> None:
    with connected(server) as sock:
        started = time.monotonic()
        sock.sendall(head(server, path, "wrong", length, expect))
        assert status_of(sock) == 401
        assert time.monotonic() - started < 2


def test_a_body_that_waits_to_be_asked_for(server, key: str) -> None:
    """As curl sends large ones."""
    body = json.dumps(GOOD).encode()
    with connected(server) as sock:
        sock.sendall(head(server, CHAT, key, f"Content-Length: {len(body)}", "Expect: 100-continue"))
        with sock.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"
            assert answer.readline() == b"\r\n"
            sock.sendall(body)
            assert answer.readline().startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("part", [b"GET /" + b"x" * (1 << 17), b"GET / HTTP/1.1\r\nA: " + b"x" * (1 << 17)])
def test_a_head_without_end(server, part: bytes) -> None:
    with connected(server) as sock:
        sock.sendall(part)
        assert until_closed(sock)[:13] in (b"", b"HTTP/1.1 400 ")


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_never_comes(serve, tmp_path, begun: bytes) -> None:
    server = serve(tmp_path, LIMITS__HEAD_TIMEOUT_S="0.5")
    with connected(server) as sock:
        sock.sendall(begun)
        assert until_closed(sock).startswith(b"HTTP/1.1 400 ")
