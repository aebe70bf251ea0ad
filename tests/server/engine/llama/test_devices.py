from pathlib import Path

from server.engine.llama.devices import Kind, devices, gpus


def test_the_cpu_of_this_machine():
    (cpu,) = devices(Kind.CPU)
    assert cpu.name == "CPU"
    assert cpu.description
    assert 0 < cpu.free <= cpu.total


def test_the_gpus_of_this_machine():
    for gpu in gpus():
        assert gpu.name
        assert gpu.description
        assert 0 <= gpu.free <= gpu.total


def test_it_asks_the_very_library_that_llama_cpp_uses():
    devices(Kind.CPU)
    loaded = {
        line.split()[-1]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if "libggml-base" in line
    }
    assert len(loaded) == 1
