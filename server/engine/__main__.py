"""Entry of the engine process: `python -m server.engine FD`, where FD is its end of a socket pair."""

import resource
import signal
import socket
import sys
import time

from setproctitle import setproctitle

from server.engine.backend import BackendFault
from server.engine.calibration import calibrate
from server.engine.channel import Channel, ChannelClosed
from server.engine.gguf import NotGGUF
from server.engine.llama.backend import LlamaBackend
from server.engine.llama.loading import LoadError
from server.engine.loop import EngineLoop
from server.engine.protocol import Load, LoadFailed, Ready

TITLE = "infirmary-engine"


def main() -> int:
    """Load, serve, and end when the API process goes."""
    setproctitle(TITLE)
    # A core dump would hold prompts; Ctrl-C is the API process's to handle.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    try:
        _serve(channel)
    except ChannelClosed:
        return 0
    except BackendFault as fault:
        print(f"{TITLE}: {fault}", file=sys.stderr)
        return 1
    return 0


def _serve(channel: Channel) -> None:
    load = next(iter(channel.receive(wait=True)))
    if not isinstance(load, Load):
        return
    started = time.perf_counter()
    try:
        backend = LlamaBackend(load)
    except (NotGGUF, LoadError) as error:
        channel.send(LoadFailed(str(error)))
        return
    tokenizer = backend.vocabulary.guidance_tokenizer()
    cost = calibrate(backend)
    load_s = time.perf_counter() - started
    channel.send(Ready(backend.device, backend.context_tokens, backend.sequences, load_s, backend.memory))
    EngineLoop(backend, tokenizer, channel, load.policy, cost).run()


if __name__ == "__main__":
    sys.exit(main())
