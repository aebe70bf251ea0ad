"""OpenAI's client for Node against a real server; `make e2e` installs it and runs this."""

import shutil
import subprocess
from pathlib import Path

import pytest

NODE = Path(__file__).with_name("node")

pytestmark = pytest.mark.skipif(
    not (NODE / "node_modules" / "openai").is_dir() or shutil.which("node") is None,
    reason="the client for Node is not installed: make e2e",
)


def test_tools(server, key: str) -> None:
    command = ["node", "tools.mjs", f"{server.url}/v1", key]
    done = subprocess.run(command, check=False, cwd=NODE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ok\n"
