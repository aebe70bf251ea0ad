from dataclasses import replace

import msgspec
import pytest

from server.engine.llama.devices import Device
from server.engine.llama.loading import LoadError
from server.engine.llama.plan import make_plan, settle
from server.engine.protocol import Load, Policy
from server.engine.shape import Shape
from server.inference.weights import weights_file

GIB = 1 << 30
LOAD = Load("x.gguf", 8, None, 2, -1, "layer", "auto", "f16", "streams", Policy(512))
SHAPE = Shape(
    name="phi.gguf",
    weights_bytes=2 * GIB,
    trained_tokens=131_072,
    layers=31,
    embedding=3072,
    feed_forward=8192,
    heads=32,
    head_sizes=(96, 96),
    vocabulary=32_064,
    kv_numbers=32 * 32 * 192,
)
ONE = (Device("CUDA0", "NVIDIA H200", 138 * GIB, 140 * GIB),)
TWO = tuple(Device(f"CUDA{number}", "NVIDIA L4", 22 * GIB, 24 * GIB) for number in (0, 1))
PLENTY = 512 * GIB


def load(**changes) -> Load:
    return msgspec.structs.replace(LOAD, **changes)


def refusal(asked: Load, devices: tuple[Device, ...] = (), free: int | None = PLENTY) -> str:
    with pytest.raises(LoadError) as caught:
        settle(asked, SHAPE, devices, free)
    return str(caught.value)


def test_layers_for_a_gpu_that_is_not_there_are_refused():
    assert refusal(load(n_gpu_layers=20)).startswith(
        "engine.n_gpu_layers is 20, but llama.cpp has no GPU to use"
    )


@pytest.mark.parametrize("layers, reason", [(-1, "no GPU support"), (0, "n_gpu_layers is 0")])
def test_all_layers_or_none_run_on_the_cpu_where_there_is_no_gpu(layers, reason):
    plan = settle(load(n_gpu_layers=layers), SHAPE, (), PLENTY)
    assert plan.device.startswith("CPU (2 threads; ")
    assert reason in plan.device


def test_a_gpu_that_is_not_wanted_is_not_used():
    assert settle(load(n_gpu_layers=0), SHAPE, ONE, PLENTY).device.startswith("CPU")
    assert "in memory" in refusal(load(n_gpu_layers=0), ONE, GIB)


def test_a_context_longer_than_trained_is_refused():
    assert refusal(load(context_tokens=131_073)) == (
        "engine.context_tokens is 131073, but the weights were trained for 131072"
    )


@pytest.mark.parametrize("sizes, named", [((80, 80), 80), ((96, 72), 72)])
def test_heads_that_are_no_whole_blocks_are_refused_in_q8_0(sizes, named):
    shape = replace(SHAPE, head_sizes=sizes)
    assert settle(LOAD, shape, (), PLENTY).context_tokens == 8192
    with pytest.raises(LoadError, match=f'engine.kv_type is "q8_0".* heads of phi.gguf have {named}'):
        settle(load(kv_type="q8_0"), shape, (), PLENTY)


def test_devices_are_named_with_their_memory():
    assert settle(LOAD, SHAPE, ONE, PLENTY).device == (
        "CUDA0 NVIDIA H200 [138.0 of 140.0 GiB free] (all layers offloaded)"
    )
    assert settle(load(n_gpu_layers=20, split_mode="row"), SHAPE, TWO, PLENTY).device == (
        "CUDA0 NVIDIA L4 [22.0 of 24.0 GiB free], CUDA1 NVIDIA L4 [22.0 of 24.0 GiB free] "
        "(20 layers offloaded, split by row)"
    )


@pytest.mark.parametrize("mode", ["none", "layer", "row"])
def test_every_way_to_split_suits_one_gpu(mode):
    assert settle(load(split_mode=mode), SHAPE, ONE, PLENTY).context_tokens == 8192


@pytest.mark.parametrize("mode", ["layer", "row"])
def test_gpus_that_share_the_weights_hold_them_together(mode):
    assert settle(load(context_tokens=8192, split_mode=mode), SHAPE, TWO, PLENTY).context_tokens == 8192


def test_without_a_split_one_gpu_holds_everything():
    line = refusal(load(context_tokens=8192, split_mode="none"), TWO)
    assert "but 22.0 GiB are free on CUDA0: " in line


def test_a_gpu_holds_the_share_that_it_is_given_and_the_host_the_rest():
    asked = load(context_tokens=8192, n_gpu_layers=16)
    device = (Device("CUDA0", "", 14 * GIB, 24 * GIB),)
    assert settle(asked, SHAPE, device, 14 * GIB).context_tokens == 8192
    assert "on CUDA0" in refusal(asked, (replace(device[0], free=13 * GIB),), 14 * GIB)
    assert "in memory" in refusal(asked, device, 13 * GIB)


def test_with_all_layers_on_gpus_the_host_need_hold_nothing():
    assert settle(LOAD, SHAPE, ONE, 1).context_tokens == 8192
    assert settle(load(n_gpu_layers=99), SHAPE, ONE, 1).context_tokens == 8192


def test_memory_that_nobody_tells_is_not_checked():
    assert settle(load(n_gpu_layers=0), SHAPE, (), None).context_tokens == 8192
    unknown = (Device("Vulkan0", "some GPU", 0, 0),)
    plan = settle(LOAD, SHAPE, unknown, 1)
    assert plan.context_tokens == 8192
    assert "[memory unknown]" in plan.device


def test_a_plan_for_the_embedded_weights_on_this_machine():
    plan = make_plan(load(path=str(weights_file(None)), n_gpu_layers=0, sequences=1))
    assert plan.memory.weights == 98_362_432
    assert plan.memory.kv == 30 * 384 * 2 * plan.context_tokens
    assert 2048 <= plan.context_tokens <= 8192
