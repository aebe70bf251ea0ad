"""What a figure depends on besides the two servers: the machine and the versions."""

import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def machine_facts() -> dict[str, Any]:
    """Cores, versions, and what the environment tells OpenMP."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "infirmary": _version("infirmary"),
        "llama_cpp_python": _version("llama-cpp-python"),
        "commit": _commit(),
        "openmp": {name: value for name, value in os.environ.items() if name.startswith(("OMP_", "GOMP_"))},
    }


def busy_cores(seconds: float) -> float | None:
    """Cores at work over the next `seconds`, on average; None where there is no /proc/stat."""
    if (before := _busy_ticks()) is None:
        return None
    time.sleep(seconds)
    return ((_busy_ticks() or before) - before) / os.sysconf("SC_CLK_TCK") / seconds


def _busy_ticks() -> int | None:
    """Clock ticks that all cores together have worked, or a hypervisor has taken away."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields)
    return user + nice + system + irq + softirq + steal


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    try:
        command = ["git", "describe", "--always", "--dirty"]
        shown = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return shown.stdout.strip()
