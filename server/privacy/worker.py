"""The loop of a privacy worker: texts come in over a pipe, findings go back."""

import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

from setproctitle import setproctitle

from server.privacy.findings import Failure, Findings

NICENESS = 5


def serve(connection: Connection, limit_s: float) -> None:
    """Answers each sequence of texts on `connection`, until the other side closes it or dies.

    An analysis of more than `limit_s` ends the process through the kernel's timer. That reaches even a
    regular expression, which never gives the interpreter back, and it needs no parent that is still alive.
    """
    setproctitle("infirmary-privacy")
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    # Not at the top: the API process names this function, and must not load Presidio as well.
    from server.privacy.analysis import analyze  # noqa: PLC0415 - not in the API process, which imports this module

    try:
        while True:
            texts = connection.recv()
            signal.setitimer(signal.ITIMER_REAL, limit_s)
            answer = _answer(analyze, texts)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.send(answer)
    except (EOFError, OSError):
        return


def _answer(analyze: Callable[[Sequence[str]], Findings], texts: Sequence[str]) -> Findings | Failure:
    try:
        return analyze(texts)
    except Exception as error:  # whatever it is: its message and its frames may hold text of a note
        return Failure(type(error).__name__)
