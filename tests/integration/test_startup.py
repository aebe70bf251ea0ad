"""Starts: one clear line where it cannot be, and all that is needed to begin where it can."""

import json
import re
import signal
import socket
import sqlite3
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from server.engine.llama.devices import gpus
from server.inference.weights import weights_file

MEGABYTE = 1 << 20
LIMIT_S = 10


@pytest.fixture
def refusal(left_of) -> Callable[[Any], str]:
    """The one line with which a server did not start."""

    def read(server) -> str:
        below: set[psutil.Process] = set()
        deadline = time.monotonic() + LIMIT_S
        while server.process.poll() is None:
            assert time.monotonic() < deadline, server.log
            below.update(server.children())
            time.sleep(0.02)
        assert server.process.returncode == 1, server.log
        assert server.output == ""
        assert "Traceback" not in server.log
        assert server.log.count("\n") == 1, server.log
        assert server.log.startswith("infirmary: ")
        assert not left_of(list(below), 3)
        return server.log

    return read


def test_an_unknown_setting(launch, refusal, tmp_path: Path) -> None:
    line = refusal(launch(tmp_path, ENGINE__SEQUENCE="3"))
    assert "INFIRMARY_ENGINE__SEQUENCE" in line
    assert "did you mean INFIRMARY_ENGINE__SEQUENCES?" in line


def test_a_setting_out_of_range(launch, refusal, tmp_path: Path) -> None:
    line = refusal(launch(tmp_path, ENGINE__SEQUENCES="1000"))
    assert "engine.sequences" in line
    assert "INFIRMARY_ENGINE__SEQUENCES" in line


def test_a_context_longer_than_trained(launch, refusal, tmp_path: Path) -> None:
    line = refusal(launch(tmp_path, ENGINE__CONTEXT_TOKENS="1000000"))
    assert "engine.context_tokens" in line


def test_layers_for_a_gpu_that_is_not_there(launch, refusal, tmp_path: Path) -> None:
    if gpus():
        pytest.skip("this machine has a GPU")
    assert "engine.n_gpu_layers is 20" in refusal(launch(tmp_path, ENGINE__N_GPU_LAYERS="20"))


def test_a_quantized_cache_without_fused_attention(launch, refusal, tmp_path: Path) -> None:
    line = refusal(launch(tmp_path, ENGINE__KV_TYPE="q8_0", ENGINE__FLASH_ATTENTION="off"))
    assert "engine.flash_attention" in line
    assert "engine.kv_type" in line


def test_weights_that_do_not_fit(launch, refusal, tmp_path: Path) -> None:
    key = b"llama.attention.head_count_kv" + struct.pack("<I", 4)
    path = tmp_path / "large.gguf"
    path.write_bytes(real(4 * MEGABYTE).replace(key + struct.pack("<I", 3), key + struct.pack("<I", 30_000)))
    line = refusal(launch(tmp_path, WEIGHTS=str(path), ENGINE__CONTEXT_TOKENS="8192"))
    assert "large.gguf needs about 14062." in line
    assert "GiB are free in memory: lower engine.sequences or engine.context_tokens" in line


@pytest.mark.parametrize(
    "text", ["port = ", "port = 'x'\n[engine", "\xff", "[engine]\nsequences = 1\nsequences = 2"]
)
def test_toml_that_is_none(launch, refusal, tmp_path: Path, text: str) -> None:
    (tmp_path / "infirmary.toml").write_text(text, encoding="latin-1")
    assert "infirmary.toml" in refusal(launch(tmp_path))


def test_an_unknown_key_in_toml(launch, refusal, tmp_path: Path) -> None:
    (tmp_path / "infirmary.toml").write_text("[engine]\ntreads = 2\n")
    line = refusal(launch(tmp_path))
    assert "engine.treads" in line
    assert "engine.threads" in line


def test_weights_that_are_not_there(launch, refusal, tmp_path: Path) -> None:
    assert "missing.gguf" in refusal(launch(tmp_path, WEIGHTS=str(tmp_path / "missing.gguf")))


def test_weights_that_are_a_directory(launch, refusal, tmp_path: Path) -> None:
    assert str(tmp_path) in refusal(launch(tmp_path, WEIGHTS=str(tmp_path)))


def real(size: int) -> bytes:
    with weights_file(None).open("rb") as file:
        return file.read(size)


DAMAGED = {
    "empty": b"",
    "text": b"These are no weights.\n" * 100,
    "first megabyte": real(MEGABYTE),
    "damaged keys": real(32) + b"\xff" * MEGABYTE,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_weights_that_are_damaged(launch, refusal, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(content)
    assert "damaged.gguf" in refusal(launch(tmp_path, WEIGHTS=str(path)))


def test_weights_cut_short_at_the_end(launch, refusal, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(weights_file(None).read_bytes()[: -10 * MEGABYTE])
    assert "cut.gguf" in refusal(launch(tmp_path, WEIGHTS=str(path)))


def test_a_port_that_is_taken(launch, refusal, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert port in refusal(launch(tmp_path, PORT=port))


def test_two_servers_on_one_port(launch, refusal, tmp_path: Path) -> None:
    """Also where the second starts before the first is ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    first, second = (launch(tmp_path / name, PORT=port) for name in ("first", "second"))
    deadline = time.monotonic() + LIMIT_S
    while first.process.poll() is None and second.process.poll() is None:
        assert time.monotonic() < deadline, "both run"
        time.sleep(0.05)
    loser, winner = (first, second) if first.process.poll() is not None else (second, first)
    assert port in refusal(loser)
    winner.wait_ready()


def test_an_address_that_is_not_ours(launch, refusal, tmp_path: Path) -> None:
    assert "192.0.2.1" in refusal(launch(tmp_path, HOST="192.0.2.1"))


def test_a_host_that_is_no_address(launch, refusal, tmp_path: Path) -> None:
    assert "nowhere.invalid" in refusal(launch(tmp_path, HOST="nowhere.invalid"))


def test_a_data_directory_that_cannot_be(launch, refusal, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "data_dir" in refusal(launch(tmp_path, DATA_DIR=str(tmp_path / "file" / "data")))


def test_a_data_directory_that_is_a_file(launch, refusal, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "data_dir" in refusal(launch(tmp_path, DATA_DIR=str(tmp_path / "file")))


def test_a_database_file_that_is_a_directory(launch, refusal, tmp_path: Path) -> None:
    (tmp_path / "data" / "infirmary.db").mkdir(parents=True)
    assert "the database cannot be opened" in refusal(launch(tmp_path))


def test_a_database_file_that_is_none(launch, refusal, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "infirmary.db").write_bytes(b"no database" * 1000)
    assert "the database cannot be opened" in refusal(launch(tmp_path))


def test_a_database_of_a_newer_version(launch, refusal, tmp_path: Path) -> None:
    url = "sqlite:///" + str(tmp_path / "newer.db")
    connection = sqlite3.connect(tmp_path / "newer.db")
    connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
    connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.commit()
    connection.close()
    assert "9999" in refusal(launch(tmp_path, DATABASE_URL=url))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://infirmary:pass-word@127.0.0.1:1/infirmary",
        "postgresql://infirmary@127.0.0.1:pass-word/infirmary",
        "mysql://infirmary:pass-word@127.0.0.1/infirmary",
        "sqlite://",
        "nothing",
    ],
)
def test_a_database_that_is_nowhere(launch, refusal, tmp_path: Path, url: str) -> None:
    line = refusal(launch(tmp_path, DATABASE_URL=url))
    assert "database" in line
    assert "pass-word" not in line


def test_a_key_that_nobody_could_send(launch, refusal, tmp_path: Path) -> None:
    line = refusal(launch(tmp_path, BOOTSTRAP_KEY="two words"))
    assert "bootstrap_key" in line
    assert "two words" not in line


def key_of(output: str) -> str | None:
    found = re.search(r"inf_[\w-]{43}", output)
    return found[0] if found else None


def pasted(command: str) -> dict[str, object]:
    """What a command of the banner answers in a shell."""
    answer = subprocess.run(["bash", "-c", command], capture_output=True, check=True, timeout=60)
    return json.loads(answer.stdout)


def curl_of(output: str) -> str:
    found = re.search(r"^curl (?:.*\\\n)*.*$", output, re.MULTILINE)
    assert found, output
    return found[0]


def test_the_first_start_and_the_second(launch, make_http, tmp_path: Path) -> None:
    first = launch(tmp_path)
    first.wait_ready()
    key = key_of(first.output)
    assert key
    assert key not in first.log
    assert "for 8 sequences of 3072 tokens" in first.output
    answer = pasted(curl_of(first.output))
    assert "medications" in answer, answer
    assert answer["provenance"]["task"] == "medications"
    assert first.stop() == 0
    lines = [json.loads(line) for line in first.log.splitlines()]
    assert {line["level"] for line in lines} == {"info"}, first.log
    assert not [line for line in lines if line["event"].startswith("message withheld")]

    started = time.monotonic()
    second = launch(tmp_path)
    second.wait_ready()
    print(f"the second start was ready after {time.monotonic() - started:.2f} s")
    assert key_of(second.output) is None
    with make_http(second) as http:
        http.headers["authorization"] = f"Bearer {key}"
        assert http.get("/v1/models").status_code == 200
    answer = pasted(f"export KEY={key}; {curl_of(second.output)}")
    assert "medications" in answer, answer


@pytest.mark.parametrize(
    ("number", "after_s"), [(signal.SIGINT, 0.6), (signal.SIGINT, 1.2), (signal.SIGTERM, 1.2)]
)
def test_a_start_that_is_interrupted(
    launch, left_of, tmp_path: Path, number: signal.Signals, after_s: float
) -> None:
    server = launch(tmp_path, BOOTSTRAP_KEY="")
    time.sleep(after_s)
    children = server.children()
    server.process.send_signal(number)
    assert server.process.wait(LIMIT_S) in (130, -number)
    assert not left_of(children, 5)
    assert "Traceback" not in server.log, server.log
    assert server.output == ""


def test_what_it_makes_is_private(server) -> None:
    data = server.directory / "data"
    assert data.stat().st_mode & 0o777 == 0o700
    for path in data.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
