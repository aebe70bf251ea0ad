"""The rows of the table. A new row is a new function here, named in `all_rows`."""

from collections.abc import Callable, Sequence
from functools import partial

from extraction import MAX_TOKENS, RESPONSE_FORMAT, SCHEMA, messages
from figures import amid_figures, document_figures, streaming_figures
from prompts import PromptWriter
from workloads import Body, Goal, Load, Workload, context_for, without_identifier_search

PROMPT_TOKENS = 340
_DOCUMENT_PROMPT_TOKENS = 340
_SHARED_TOKENS = 2000
_LONG_TOKENS = 6300
_LONG_CONTEXT = 8192
_SHARING_CLIENTS = 16
_SHORT_ANSWER = 16
_CHATS = 4
_CHAT_ANSWER = 2048
_BODIES_OF_A_CHAT = 8
_LATE_ANSWER = 64
_WARM_UP_TOKENS = 8
_LEAST_REQUESTS = 4
_LEAST_DOCUMENTS = 4

_TEXT = (
    "output_tokens_per_s",
    "first_token_p50_ms",
    "first_token_p95_ms",
    "inter_token_p50_ms",
    "inter_token_p99_ms",
    "answer_tokens",
    "prompt_tokens",
)
_DOCUMENTS = ("valid_documents_per_s", "valid_share", "answer_tokens", "prompt_tokens")
_AMID = ("meanwhile_p50_ms", "meanwhile_p99_ms", "late_total_ms", "late_first_token_ms", "prompt_tokens")
_SAME_WORK = ("prompt_tokens", "answer_tokens")


def all_rows(clients: Sequence[int], answer_tokens: int) -> list[Workload]:
    """Every row; those of text and documents once for each number of `clients`."""
    cold = [cold_text(count, answer_tokens) for count in clients]
    warm = [warm_text(count, answer_tokens) for count in clients]
    return [
        *cold,
        *map(without_identifier_search, cold),
        *warm,
        *map(without_identifier_search, warm),
        *(unshared_text(count, answer_tokens) for count in clients),
        *(extraction(count) for count in clients),
        *(extraction(count, compact=True) for count in clients),
        common_instruction(),
        long_prompt(),
    ]


def cold_text(clients: int, answer_tokens: int) -> Workload:
    """Free text from prompts that no server has seen and that share no prefix.

    Each client asks once; fewer than four clients ask more often, so that a repetition is not over at once.
    """

    def load(writer: PromptWriter) -> Load:
        rounds = range(max(1, _LEAST_REQUESTS // clients))
        return Load([[_free_text(writer, answer_tokens) for _ in rounds] for _ in range(clients)])

    least = 1.0 if clients == 1 else 1.3
    return _text_row("cold text (de-id on)", clients, answer_tokens, load, Goal("output_tokens_per_s", least))


def warm_text(clients: int, answer_tokens: int) -> Workload:
    """As cold text, but each client asks one prompt only, and has asked it just before."""

    def load(writer: PromptWriter) -> Load:
        rounds = max(1, _LEAST_REQUESTS // clients)
        return Load([[_free_text(writer, answer_tokens)] * rounds for _ in range(clients)])

    goal = Goal("output_tokens_per_s", 1.0)
    return _text_row("warm text (de-id on)", clients, answer_tokens, load, goal, reuse=True, primed=True)


def unshared_text(clients: int, answer_tokens: int) -> Workload:
    """As cold text, while both servers keep prompts that never come again."""
    cold = cold_text(clients, answer_tokens)
    goal = Goal("output_tokens_per_s", 0.95)
    return _text_row("unshared text", clients, answer_tokens, cold.load, goal, reuse=True)


def extraction(clients: int, *, compact: bool = False) -> Workload:
    """Documents of one JSON Schema, out of a different short note each, below an instruction all share.

    `compact` has the instruction ask for JSON without blanks, which only llama-server's grammar allows.
    """

    def load(writer: PromptWriter) -> Load:
        rounds = range(max(1, _LEAST_DOCUMENTS // clients))
        return Load([[_document(writer, compact=compact) for _ in rounds] for _ in range(clients)])

    return Workload(
        name=f"extraction {'(compact asked) ' * compact}{_counted(clients)}",
        slots=clients,
        context_tokens=context_for(_DOCUMENT_PROMPT_TOKENS, MAX_TOKENS),
        goals=[Goal("valid_documents_per_s", 2.0)],
        warm_up=lambda writer: load(writer).opening(max_tokens=_WARM_UP_TOKENS),
        load=load,
        figures=partial(document_figures, schema=SCHEMA),
        shown=_DOCUMENTS,
        alike=["prompt_tokens"],
        reuse=True,
    )


def common_instruction() -> Workload:
    """Sixteen at once below one long system message that neither server has seen."""

    def load(writer: PromptWriter) -> Load:
        chats = writer.shared_chats(_SHARING_CLIENTS, _SHARED_TOKENS)
        return Load([[_streamed(chat, _SHORT_ANSWER)] for chat in chats])

    return Workload(
        name=f"common instruction {_counted(_SHARING_CLIENTS)}",
        slots=_SHARING_CLIENTS,
        context_tokens=context_for(_SHARED_TOKENS, _SHORT_ANSWER),
        goals=[Goal("first_token_p50_ms", 1 / 6, at_most=True)],
        warm_up=lambda writer: _warm_up(writer, 1),
        load=load,
        figures=streaming_figures,
        shown=_TEXT,
        alike=_SAME_WORK,
        reuse=True,
        restart=True,
    )


def long_prompt() -> Workload:
    """A long prompt while four chats stream: how they run meanwhile, and how long it takes itself."""

    def load(writer: PromptWriter) -> Load:
        bodies = range(_BODIES_OF_A_CHAT)
        return Load(
            [[_free_text(writer, _CHAT_ANSWER) for _ in bodies] for _ in range(_CHATS)],
            late=_streamed(writer.chat(_LONG_TOKENS), _LATE_ANSWER),
        )

    return Workload(
        name=f"long prompt amid {_CHATS} chats",
        slots=_CHATS + 1,
        context_tokens=_LONG_CONTEXT,
        goals=[
            Goal("meanwhile_p99_ms", 1 / 10, at_most=True),
            Goal("late_total_ms", 1.5, at_most=True),
        ],
        warm_up=lambda writer: _warm_up(writer, _CHATS),
        load=load,
        figures=amid_figures,
        shown=_AMID,
        alike=_SAME_WORK,
    )


def _text_row(
    name: str,
    clients: int,
    answer_tokens: int,
    load: Callable[[PromptWriter], Load],
    goal: Goal,
    **fields: bool,
) -> Workload:
    return Workload(
        name=f"{name} {_counted(clients)}",
        slots=clients,
        context_tokens=context_for(PROMPT_TOKENS, answer_tokens),
        goals=[goal],
        warm_up=lambda writer: _warm_up(writer, clients),
        load=load,
        figures=streaming_figures,
        shown=_TEXT,
        alike=_SAME_WORK,
        **fields,
    )


def _counted(clients: int) -> str:
    return f"{clients} client{'s' * (clients > 1)}"


def _warm_up(writer: PromptWriter, clients: int) -> Load:
    """Prompts of their own, which share nothing with what is measured."""
    return Load([[_free_text(writer, _WARM_UP_TOKENS)] for _ in range(clients)])


def _free_text(writer: PromptWriter, answer_tokens: int) -> Body:
    return _streamed(writer.chat(PROMPT_TOKENS), answer_tokens)


def _document(writer: PromptWriter, *, compact: bool) -> Body:
    asked = _streamed(messages(writer.note(), compact=compact), MAX_TOKENS)
    return asked | {"response_format": RESPONSE_FORMAT}


def _streamed(conversation: list[dict[str, str]], answer_tokens: int) -> Body:
    return {
        "messages": conversation,
        "max_tokens": answer_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
