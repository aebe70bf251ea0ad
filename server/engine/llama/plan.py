"""What a load comes to on this machine, settled and checked before any weights are read."""

from dataclasses import dataclass
from pathlib import Path

from server.engine.gguf import read_metadata
from server.engine.host import free_bytes
from server.engine.llama.devices import Device, gpus
from server.engine.llama.loading import LoadError
from server.engine.memory import NotEnoughMemory, Place, choose_context, estimate
from server.engine.protocol import Load, Memory
from server.engine.shape import Shape, read_shape

# Numbers in a block of ggml's q8_0.
_BLOCK = 32

_GIB = 1 << 30


@dataclass(frozen=True)
class Plan:
    """Tokens of one sequence, bytes it will take, and in words what computes."""

    context_tokens: int
    memory: Memory
    device: str


def make_plan(load: Load) -> Plan:
    """Ask the file, the host and the GPUs; raises NotGGUF, and LoadError where the settings cannot be had."""
    return settle(load, read_shape(read_metadata(Path(load.path))), gpus(), free_bytes())


def settle(load: Load, shape: Shape, devices: tuple[Device, ...], host_free: int | None) -> Plan:
    """The plan for weights of this shape; raises LoadError with one line that names the setting."""
    _check(load, shape, devices)
    used = devices if load.n_gpu_layers != 0 else ()
    try:
        context = choose_context(shape, load, _places(load, shape, used, host_free))
    except NotEnoughMemory as refusal:
        raise LoadError(str(refusal)) from None
    return Plan(context, estimate(shape, load, context), _words(load, used))


def _check(load: Load, shape: Shape, devices: tuple[Device, ...]) -> None:
    if load.context_tokens and load.context_tokens > shape.trained_tokens:
        raise LoadError(
            f"engine.context_tokens is {load.context_tokens}, but the weights were trained for "
            f"{shape.trained_tokens}"
        )
    if load.n_gpu_layers > 0 and not devices:
        raise LoadError(
            f"engine.n_gpu_layers is {load.n_gpu_layers}, but llama.cpp has no GPU to use: this build of it "
            "supports none, or none is there; 0 is the CPU"
        )
    unfit = [size for size in shape.head_sizes if size % _BLOCK]
    if load.kv_type == "q8_0" and unfit:
        raise LoadError(
            f'engine.kv_type is "q8_0", which stores {_BLOCK} numbers a block, but the attention heads of '
            f'{shape.name} have {unfit[0]}: "f16" takes any'
        )


def _places(load: Load, shape: Shape, used: tuple[Device, ...], host_free: int | None) -> list[Place]:
    """The memory on the GPUs and on the host. One that does not tell its size cannot be checked."""
    # llama.cpp counts the output as one layer more.
    share = _offloaded(load, shape) / (shape.layers + 1) if used else 0.0
    holding = used[:1] if load.split_mode == "none" else used
    places = []
    if share and all(device.total for device in holding):
        names = ", ".join(device.name for device in holding)
        places.append(Place(f"on {names}", sum(device.free for device in holding), share, len(holding)))
    if share < 1 and host_free is not None:
        places.append(Place("in memory", host_free, 1 - share))
    return places


def _offloaded(load: Load, shape: Shape) -> int:
    return shape.layers + 1 if load.n_gpu_layers < 0 else min(load.n_gpu_layers, shape.layers + 1)


def _words(load: Load, used: tuple[Device, ...]) -> str:
    if not used:
        reason = "n_gpu_layers is 0" if load.n_gpu_layers == 0 else "this build has no GPU support"
        return f"CPU ({load.threads} threads; {reason})"
    holding = used[:1] if load.split_mode == "none" else used
    layers = "all" if load.n_gpu_layers < 0 else str(load.n_gpu_layers)
    split = f", split by {load.split_mode}" if len(holding) > 1 else ""
    return f"{', '.join(map(_device_words, holding))} ({layers} layers offloaded{split})"


def _device_words(device: Device) -> str:
    memory = (
        f"{device.free / _GIB:.1f} of {device.total / _GIB:.1f} GiB free"
        if device.total
        else "memory unknown"
    )
    return f"{device.name} {device.description} [{memory}]"
