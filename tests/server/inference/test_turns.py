import json

from server.grammar.tool_calls import HERMES
from server.inference.request import Message
from server.inference.tools import ToolCall
from server.inference.turns import native_turns, plain_turns

FIND = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
CALLS = (ToolCall("call_1", "find", '{"key":"é"}'), ToolCall("call_2", "find", "{}"))
ASKED = Message("user", "Where?")
CALLED = Message("assistant", "", calls=CALLS)
RESULTS = (Message("tool", "here", calls=CALLS[:1]), Message("tool", "there", calls=CALLS[1:]))


def test_a_template_of_its_own_gets_arguments_as_objects_and_results_by_id():
    asked, called, first, second = native_turns([ASKED, CALLED, *RESULTS])
    assert asked == {"role": "user", "content": "Where?"}
    assert called["content"] == ""
    assert called["tool_calls"][0] == {
        "id": "call_1",
        "type": "function",
        "function": {"name": "find", "arguments": {"key": "é"}},
    }
    assert first == {"role": "tool", "content": "here", "name": "find", "tool_call_id": "call_1"}
    assert second["tool_call_id"] == "call_2"


def test_calls_and_results_as_text():
    turns = plain_turns([ASKED, CALLED, *RESULTS, Message("assistant", "Here.")], [], HERMES, system=True)
    assert turns == [
        {"role": "user", "content": "Where?"},
        {
            "role": "assistant",
            "content": '<tool_call>{"name":"find","arguments":{"key":"é"}}</tool_call>\n'
            '<tool_call>{"name":"find","arguments":{}}</tool_call>',
        },
        {
            "role": "user",
            "content": "<tool_response>here</tool_response>\n<tool_response>there</tool_response>",
        },
        {"role": "assistant", "content": "Here."},
    ]


def test_content_stands_before_calls():
    [turn] = plain_turns([Message("assistant", "Wait.", calls=CALLS[1:])], [], HERMES, system=True)
    assert turn["content"] == 'Wait.\n<tool_call>{"name":"find","arguments":{}}</tool_call>'


def test_tools_are_told_in_the_system_message():
    [system, user] = plain_turns([ASKED], [FIND], HERMES, system=True)
    assert system["role"] == "system"
    assert user == {"role": "user", "content": "Where?"}
    listed = system["content"].split("<tools>\n")[1].split("\n</tools>")[0]
    assert json.loads(listed) == FIND
    assert '<tool_call>{"name":"…","arguments":{…}}</tool_call>' in system["content"]

    own = Message("system", "Be brief.")
    [both, _] = plain_turns([own, ASKED], [FIND], HERMES, system=True)
    assert both["content"] == f"Be brief.\n\n{system['content']}"


def test_where_no_system_message_is_taken_the_first_user_tells_them():
    [user] = plain_turns([ASKED], [FIND], HERMES, system=False)
    assert user["role"] == "user"
    assert user["content"].endswith("\n\nWhere?")
    assert "<tools>" in user["content"]
