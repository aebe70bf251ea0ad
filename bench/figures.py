"""From a recording to figures. Times are milliseconds where the name ends in `_ms`."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil
from statistics import fmean
from typing import Any

from extraction import is_document
from recording import Exchange, Recording
from stream import Answer, read_answer, text_times
from workloads import Figures


def streaming_figures(recording: Recording) -> Figures:
    """Of answers that were all read to their end."""
    return _of_answers(_answers(recording))


def document_figures(recording: Recording, *, schema: Mapping[str, Any]) -> Figures:
    """As `streaming_figures`, and the valid documents among the answers: a share, and how many a second."""
    answers = _answers(recording)
    valid = sum(is_document(answer.text, schema) for answer in answers)
    documents = {"valid_documents_per_s": valid / _wall_s(answers), "valid_share": valid / len(answers)}
    return documents | dict(_of_answers(answers))


def amid_figures(recording: Recording) -> Figures:
    """Of the late request, and of the chats from when it was asked until it was answered.

    A time between two events of a chat counts where any of it lies in there: the one that had begun when the
    request was asked counts whole, the one that had not ended when it was answered as far as it had come.
    """
    assert recording.late is not None, "this load has a late request"
    late = read_answer(recording.late)
    between_s = [each for client in recording.clients for each in _meanwhile(client, late)]
    return {
        "meanwhile_p50_ms": 1000 * percentile(between_s, 50),
        "meanwhile_p99_ms": 1000 * percentile(between_s, 99),
        "late_total_ms": 1000 * (late.ended_s - late.started_s),
        "late_first_token_ms": 1000 * (late.content_s[0] - late.started_s),
        "prompt_tokens": late.prompt_tokens,
        "answer_tokens": late.completion_tokens,
        "meanwhile_gaps": len(between_s),
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of 100 do not exceed; 0 where there are none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]


def _meanwhile(client: Sequence[Exchange], late: Answer) -> list[float]:
    """Seconds between events of one chat after the other; the last one was cut off when `late` ended."""
    times_s = [text_times(exchange) for exchange in client]
    times_s[-1] = (*times_s[-1], late.ended_s) if times_s[-1] else ()
    return [
        after - before
        for chat_s in times_s
        for before, after in pairwise(chat_s)
        if after > late.started_s and before < late.ended_s
    ]


def _answers(recording: Recording) -> list[Answer]:
    return [read_answer(exchange) for client in recording.clients for exchange in client]


def _wall_s(answers: Sequence[Answer]) -> float:
    """From the first request to the last end."""
    return max(answer.ended_s for answer in answers) - min(answer.started_s for answer in answers)


def _of_answers(answers: Sequence[Answer]) -> Figures:
    """`prompt_tokens`, `answer_tokens` and `events` are means over the answers.

    An inter-token time is that between two events with text of one answer: a server that sends several
    tokens at once shows longer ones.
    """
    first_s = [answer.content_s[0] - answer.started_s for answer in answers]
    between_s = [after - before for answer in answers for before, after in pairwise(answer.content_s)]
    return {
        "output_tokens_per_s": sum(answer.completion_tokens for answer in answers) / _wall_s(answers),
        "first_token_p50_ms": 1000 * percentile(first_s, 50),
        "first_token_p95_ms": 1000 * percentile(first_s, 95),
        "inter_token_p50_ms": 1000 * percentile(between_s, 50),
        "inter_token_p99_ms": 1000 * percentile(between_s, 99),
        "prompt_tokens": fmean(answer.prompt_tokens for answer in answers),
        "answer_tokens": fmean(answer.completion_tokens for answer in answers),
        "events": fmean(len(answer.content_s) for answer in answers),
    }
