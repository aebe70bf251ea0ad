import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import GenerationFailed
from server.grammar.tool_calls import HERMES, CallSyntax
from server.inference.tool_calls import CallReader, JsonObject
from server.privacy.restorer import Restorer

BARE = CallSyntax(opening='{"name": "', middle='", "parameters": ', closing="}")
ORIGINALS = {"[NAME_1]": 'Ann "Nan" O\'Brien\n', "[MRN_1]": "00482913"}
ARGUMENTS = ['{"a":[{"b":"}{]["}],"c":"\\\\\\""}', "{}", '{"who":"[NAME_1], [MRN_1]","x":"[NAME_"}']
ANSWER = "See\n\n[N <tool_cal:\n " + "\n".join(
    f'<tool_call>{{"name":"tool-{number}","arguments":{arguments}}}</tool_call>'
    for number, arguments in enumerate(ARGUMENTS)
)


def reader(syntax: CallSyntax = HERMES) -> CallReader:
    return CallReader(syntax, lambda: Restorer(ORIGINALS, json=True), lambda name, arguments: None)


def read(reading: CallReader, pieces: list[str]) -> tuple[str, list[tuple[str, str, bool]]]:
    """Content, and each call's name, arguments and whether it ended."""
    content, calls = "", []
    for piece in [*pieces, None]:
        content += reading.flush() if piece is None else reading.feed(piece)
        for delta in reading.take():
            if delta.name is not None:
                assert delta.index == len(calls)
                assert (delta.arguments, delta.ended) == ("", False)
                calls.append((delta.name, "", False))
            else:
                name, arguments, ended = calls[delta.index]
                assert delta.index == len(calls) - 1
                assert not ended
                calls[delta.index] = (name, arguments + delta.arguments, delta.ended)
    return content, calls


def assert_read_whole(content: str, calls: list[tuple[str, str, bool]]) -> None:
    assert content == "See\n\n[N <tool_cal:"
    assert [name for name, _, _ in calls] == ["tool-0", "tool-1", "tool-2"]
    assert all(ended for _, _, ended in calls)
    assert calls[0][1] == ARGUMENTS[0]
    assert json.loads(calls[2][1]) == {
        "who": f"{ORIGINALS['[NAME_1]']}, {ORIGINALS['[MRN_1]']}",
        "x": "[NAME_",
    }


def test_an_answer_in_one_piece():
    reading = reader()
    assert_read_whole(*read(reading, [ANSWER]))
    assert reading.complete
    assert reading.calls == 3


@pytest.mark.parametrize("cut", range(1, len(ANSWER)))
def test_an_answer_cut_anywhere(cut):
    assert_read_whole(*read(reader(), [ANSWER[:cut], ANSWER[cut:]]))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, len(ANSWER)), max_size=40).map(sorted))
def test_an_answer_in_any_pieces(cuts):
    bounds = [0, *cuts, len(ANSWER)]
    assert_read_whole(*read(reader(), [ANSWER[a:b] for a, b in itertools.pairwise(bounds)]))


def test_an_answer_sign_by_sign_holds_back_only_the_syntax():
    reading = reader()
    shown = [reading.feed(sign) for sign in "a <tool_b"]
    assert shown == ["a", "", "", "", "", "", "", "", " <tool_b"]


@pytest.mark.parametrize("text", ["", "Nothing <tool_", "a\n\n", " <b> {}", "<tool_call"])
def test_without_a_call_everything_is_content(text):
    reading = reader()
    assert read(reading, list(text)) == (text, [])
    assert reading.complete


@pytest.mark.parametrize("length", range(ANSWER.index("<tool_call>{") + len("<tool_call>"), len(ANSWER)))
def test_a_call_that_is_cut_off_is_never_taken_for_whole(length):
    content, calls = read(reader(), list(ANSWER[:length]))
    assert content == "See\n\n[N <tool_cal:"
    for position, (name, arguments, ended) in enumerate(calls):
        assert name == f"tool-{position}"
        if ended:
            json.loads(arguments)
        else:
            assert position == len(calls) - 1
            with pytest.raises(ValueError, match=r"."):
                json.loads(arguments)


@pytest.mark.parametrize(
    "length", [len(ANSWER) - 1, ANSWER.index("arguments"), ANSWER.index("<tool_call>{") + 12]
)
def test_what_is_cut_off_is_not_complete(length):
    reading = reader()
    read(reading, [ANSWER[:length]])
    assert not reading.complete


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>x",
        '<tool_call>{"name":"a","arguments":{}}x',
        '<tool_call>{"name":"a","arguments":{}}</tool_call> x',
        '<tool_call>{"name":"a","arguments":{}}</tool_call>\nand',
    ],
)
def test_what_no_grammar_lets_through_is_an_error(text):
    with pytest.raises(GenerationFailed) as caught:
        read(reader(), list(text))
    assert "and" not in caught.value.message


@pytest.mark.parametrize("step", [1, 3, 100])
def test_without_a_marker_the_first_sign_decides(step):
    text = '{"name": "find", "parameters": {"who":"[MRN_1]"}}'
    reading = reader(BARE)
    content, calls = read(reading, [text[at : at + step] for at in range(0, len(text), step)])
    assert (content, calls) == ("", [("find", '{"who":"00482913"}', True)])
    assert reading.complete
    spoken = reader(BARE)
    assert read(spoken, list("No: " + text)) == ("No: " + text, [])
    assert spoken.complete


def test_without_a_separator_one_call_is_all():
    with pytest.raises(GenerationFailed):
        read(reader(BARE), ['{"name": "find", "parameters": {}}\n'])


async def test_whole_arguments_that_restoring_changed_are_checked():
    checked: list[tuple[str, str]] = []
    reading = CallReader(HERMES, lambda: Restorer(ORIGINALS, json=True), lambda *call: checked.append(call))
    _, calls = read(reading, [ANSWER, f"\n{ANSWER[ANSWER.rindex('<tool_call>') : -20]}"])
    await reading.verify()
    assert checked == [("tool-2", calls[2][1])]
    assert not calls[3][2]


@pytest.mark.parametrize("text", ['{"a":"\\\\"}', '{"a":"\\"}"}', '{"a":[[{}]]}', "{}"])
def test_an_object_ends_where_it_ends(text):
    assert JsonObject().end(text + "}{") == len(text)
    scan = JsonObject()
    assert [scan.end(sign) for sign in text] == [None] * (len(text) - 1) + [1]
