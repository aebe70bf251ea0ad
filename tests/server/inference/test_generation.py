from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from server.engine.protocol import Output, Priority
from server.errors import DeadlineExceeded, EngineUnavailable, GenerationFailed
from server.inference.generation import Generation
from server.inference.text import StopMatcher
from server.metrics import Metrics
from server.privacy.findings import Finding
from server.privacy.pseudonyms import pseudonymize

PATIENT = "Ann “Ă” Lee"
DEIDENTIFIED = pseudonymize([PATIENT], [[Finding(0, len(PATIENT), "NAME", 0)]])


class Bytes:
    """A vocabulary of bytes."""

    def piece(self, token: int) -> bytes:
        return bytes([token])


class Outputs:
    """What the engine would yield; it remembers whether it was closed before its end."""

    def __init__(self, *outputs: Output | Exception) -> None:
        self.closed_early = False
        self.iterator = self._iterate(outputs)

    async def _iterate(self, outputs: tuple[Output | Exception, ...]) -> AsyncIterator[Output]:
        try:
            for output in outputs:
                if isinstance(output, Exception):
                    raise output
                yield output
        except GeneratorExit:
            self.closed_early = True
            raise


def said(text: str, finish: str | None = None, detail: str = "") -> Output:
    return Output(1, list(text.encode()), finish, detail)


def generation(outputs: Outputs, *, stop: tuple[str, ...] = (), restore: bool = True) -> Generation:
    return Generation(
        audit_id="audit",
        weights=SimpleNamespace(vocabulary=Bytes()),
        deidentified=DEIDENTIFIED,
        prompt_tokens=3,
        priority=Priority.NORMAL,
        outputs=outputs.iterator,
        restorer=DEIDENTIFIED.vault.restorer() if restore else None,
        stops=StopMatcher(stop),
        metrics=Metrics(CollectorRegistry()),
    )


async def test_identities_come_back_whole_however_they_arrive():
    outputs = Outputs(*(said(sign) for sign in "Dear [NAME_1], [NA"), said("", "stop"))
    pieces = [piece async for piece in generation(outputs)]
    assert "".join(pieces) == f"Dear {PATIENT}, [NA"
    assert PATIENT in pieces
    assert all(pieces)


async def test_without_restoring_pseudonyms_stay():
    answer = generation(Outputs(said("Dear [NAME_1]", "stop")), restore=False)
    assert await answer.text() == "Dear [NAME_1]"


async def test_it_says_how_it_ended_and_counts_tokens():
    answer = generation(Outputs(said("ab"), said("c", "length")))
    assert await answer.text() == "abc"
    assert (answer.finish_reason, answer.completion_tokens) == ("length", 3)


async def test_a_stop_string_ends_the_answer_and_the_engines_work():
    outputs = Outputs(said("one S"), said("TOP"), said(" two", "length"))
    answer = generation(outputs, stop=("STOP",))
    assert await answer.text() == "one "
    assert answer.finish_reason == "stop"
    assert outputs.closed_early


async def test_a_stop_string_may_stand_in_a_restored_identity():
    answer = generation(Outputs(said("Dear [NAME_1]!", "stop")), stop=("Lee",))
    assert await answer.text() == "Dear Ann “Ă” "


async def test_what_a_stop_might_have_been_is_shown_at_the_end():
    assert await generation(Outputs(said("one STO", "length")), stop=("STOP",)).text() == "one STO"


async def test_a_character_cut_off_by_the_end_is_replaced():
    outputs = Outputs(Output(1, list("é".encode()[:1]), "length"))
    assert await generation(outputs).text() == "\ufffd"


@pytest.mark.parametrize("finish", ["grammar_error", "rejected"])
async def test_an_answer_that_cannot_be_vouched_for_is_none(finish):
    with pytest.raises(GenerationFailed, match="why"):
        await generation(Outputs(said("a"), said("", finish, "why"))).text()


@pytest.mark.parametrize("finish, error", [("expired", DeadlineExceeded), ("aborted", EngineUnavailable)])
async def test_what_the_engine_gives_up_is_told(finish, error):
    with pytest.raises(error):
        await generation(Outputs(said("a"), said("", finish))).text()


async def test_the_engines_own_error_comes_through():
    with pytest.raises(EngineUnavailable):
        await generation(Outputs(said("a"), EngineUnavailable("gone"))).text()


async def test_leaving_early_ends_the_engines_work():
    outputs = Outputs(said("a"), said("b", "stop"))
    pieces = aiter(generation(outputs))
    assert await anext(pieces) == "a"
    await pieces.aclose()
    assert outputs.closed_early
