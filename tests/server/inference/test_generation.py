from collections.abc import AsyncIterator
from contextlib import aclosing
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from server.engine.protocol import Output, Priority, TokenLogprob
from server.errors import (
    DeadlineExceeded,
    EngineUnavailable,
    GenerationFailed,
    InvalidGrammar,
    InvalidOutput,
)
from server.inference.conformity import Conformity
from server.inference.generation import Answer, Generation, Piece
from server.inference.text import Detokenizer, StopMatcher
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


def answer_of(outputs: Outputs, *, stop: tuple[str, ...] = (), restore: bool = True) -> Answer:
    return Answer(
        outputs=outputs.iterator,
        detokenizer=Detokenizer(Bytes()),
        restorer=DEIDENTIFIED.vault.restorer() if restore else None,
        stops=StopMatcher(stop),
        metrics=Metrics(CollectorRegistry()),
    )


async def text_of(answer: Answer) -> str:
    return "".join([piece.text async for piece in answer])


async def test_identities_come_back_whole_however_they_arrive():
    outputs = Outputs(*(said(sign) for sign in "Dear [NAME_1], [NA"), said("", "stop"))
    pieces = [piece.text async for piece in answer_of(outputs)]
    assert "".join(pieces) == f"Dear {PATIENT}, [NA"
    assert PATIENT in pieces
    assert all(pieces)


async def test_without_restoring_pseudonyms_stay():
    answer = answer_of(Outputs(said("Dear [NAME_1]", "stop")), restore=False)
    assert await text_of(answer) == "Dear [NAME_1]"


async def test_it_says_how_it_ended_and_counts_tokens():
    answer = answer_of(Outputs(said("ab"), said("c", "length")))
    assert await text_of(answer) == "abc"
    assert (answer.finish_reason, answer.completion_tokens) == ("length", 3)


async def test_a_stop_string_ends_the_answer_and_the_engines_work():
    outputs = Outputs(said("one S"), said("TOP"), said(" two", "length"))
    answer = answer_of(outputs, stop=("STOP",))
    assert await text_of(answer) == "one "
    assert answer.finish_reason == "stop"
    assert outputs.closed_early


async def test_a_stop_string_may_stand_in_a_restored_identity():
    answer = answer_of(Outputs(said("Dear [NAME_1]!", "stop")), stop=("Lee",))
    assert await text_of(answer) == "Dear Ann “Ă” "


async def test_what_a_stop_might_have_been_is_shown_at_the_end():
    assert await text_of(answer_of(Outputs(said("one STO", "length")), stop=("STOP",))) == "one STO"


async def test_a_character_cut_off_by_the_end_is_replaced():
    outputs = Outputs(Output(1, list("é".encode()[:1]), "length"))
    assert await text_of(answer_of(outputs)) == "\ufffd"


@pytest.mark.parametrize("finish", ["grammar_error", "rejected"])
async def test_an_answer_that_cannot_be_vouched_for_is_none(finish):
    with pytest.raises(GenerationFailed, match="why"):
        await text_of(answer_of(Outputs(said("a"), said("", finish, "why"))))


@pytest.mark.parametrize("finish, error", [("expired", DeadlineExceeded), ("aborted", EngineUnavailable)])
async def test_what_the_engine_gives_up_is_told(finish, error):
    with pytest.raises(error):
        await text_of(answer_of(Outputs(said("a"), said("", finish))))


async def test_the_engines_own_error_comes_through():
    with pytest.raises(EngineUnavailable):
        await text_of(answer_of(Outputs(said("a"), EngineUnavailable("gone"))))


async def test_leaving_early_ends_the_engines_work():
    outputs = Outputs(said("a"), said("b", "stop"))
    pieces = aiter(answer_of(outputs))
    assert (await anext(pieces)).text == "a"
    await pieces.aclose()
    assert outputs.closed_early


def scored(text: str, finish: str | None = None, cached: int = 0) -> Output:
    tokens = list(text.encode())
    return Output(
        1, tokens, finish, cached=cached, logprobs=[TokenLogprob(-float(each), []) for each in tokens]
    )


async def test_scores_come_with_the_text_that_their_tokens_bring():
    outputs = Outputs(*(scored(sign) for sign in "a[NAME_1]"), scored("b", "stop"))
    pieces = [piece async for piece in answer_of(outputs)]
    assert [piece.text for piece in pieces] == ["a", PATIENT, "b"]
    assert ["".join(chr(token) for token, _ in piece.scores) for piece in pieces] == ["a", "[NAME_1]", "b"]
    assert pieces[0].scores == ((ord("a"), TokenLogprob(-97.0, [])),)


@pytest.mark.parametrize("said_last", ["STOP", " two STOP and more"])
async def test_every_token_is_scored_once_also_of_what_is_not_shown(said_last):
    outputs = Outputs(scored("one "), scored(said_last), scored("never", "stop"))
    answer = answer_of(outputs, stop=("STOP",))
    pieces = [piece async for piece in answer]
    assert "".join(chr(token) for piece in pieces for token, _ in piece.scores) == "one " + said_last
    assert sum(len(piece.scores) for piece in pieces) == answer.completion_tokens


def both(*answers: Answer) -> Generation:
    return Generation("audit", SimpleNamespace(), DEIDENTIFIED, 3, Priority.NORMAL, answers)


async def test_several_answers_are_told_apart_and_counted_together():
    first, second = (
        Outputs(scored("ab", cached=2), scored("c", "stop")),
        Outputs(said("x"), said("yz", "length")),
    )
    generation = both(answer_of(first), answer_of(second))
    whole = await generation.whole()
    assert [piece.text for piece in whole] == ["abc", "xyz"]
    assert [len(piece.scores) for piece in whole] == [3, 0]
    assert (generation.completion_tokens, generation.cached_tokens) == (6, 2)
    assert generation.finish_reason == "length,stop"


async def test_one_answer_that_fails_is_the_failure_of_all():
    first, second = Outputs(said("a"), said("b", "stop")), Outputs(said("b"), EngineUnavailable("gone"))
    with pytest.raises(EngineUnavailable):
        await both(answer_of(first), answer_of(second)).whole()


async def test_leaving_early_ends_the_engines_work_on_all():
    outputs = [Outputs(said("a"), said("b", "stop"))]
    async with aclosing(both(*map(answer_of, outputs)).pieces()) as pieces:
        assert await anext(pieces) == (0, Piece("a"))
    assert outputs[0].closed_early


def checked(outputs: Outputs, *, stop: tuple[str, ...] = ()) -> Answer:
    """An answer that no name may stand in."""
    answer = answer_of(outputs, stop=stop)
    answer.conformity = Conformity(refuse)
    return answer


def refuse(text: str) -> None:
    assert text == f"Dear {PATIENT}, [NA"
    raise InvalidOutput("not what was asked for")


@pytest.mark.parametrize("pieces", [["Dear [NAME_1], [NA"], list("Dear [NAME_1], [NA")])
async def test_an_answer_that_names_have_spoilt_fails_at_its_end(pieces):
    shown = ""
    with pytest.raises(InvalidOutput):
        async for piece in checked(Outputs(*map(said, pieces), said("", "stop"))):
            shown += piece.text
    assert f"Dear {PATIENT}, [NA".startswith(shown)


async def test_an_answer_without_names_is_not_looked_at():
    assert await text_of(checked(Outputs(said("Dear all, [NA"), said("", "stop")))) == "Dear all, [NA"


async def test_an_answer_that_was_cut_short_is_not_looked_at():
    assert await text_of(checked(Outputs(said("Dear [NAME_1]", "length")))) == f"Dear {PATIENT}"
    stopped = checked(Outputs(said("Dear [NAME_1], STOP", "stop")), stop=("STOP",))
    assert await text_of(stopped) == f"Dear {PATIENT}, "


async def test_a_callers_output_type_that_the_engine_cannot_force_is_the_callers_to_mend():
    with pytest.raises(InvalidGrammar, match="why"):
        await text_of(checked(Outputs(Output(1, [], "grammar_error", "why"))))
    with pytest.raises(GenerationFailed, match="why"):
        await text_of(checked(Outputs(said("a"), Output(1, [], "grammar_error", "why"))))
    with pytest.raises(GenerationFailed, match="why"):
        await text_of(answer_of(Outputs(Output(1, [], "grammar_error", "why"))))
