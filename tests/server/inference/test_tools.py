import json

import pytest

from server.errors import InvalidGrammar, InvalidRequest
from server.grammar.tool_calls import HERMES
from server.inference.tools import Tool, ToolCall, Tools
from server.privacy.findings import Finding
from server.privacy.pseudonyms import PseudonymizedText

NAME = "Maria Alvarez"
PSEUDONYM = "[NAME_1]"
PARAMETERS = {
    "type": "object",
    "description": f"As {NAME} asked.",
    "properties": {
        "who": {"enum": [NAME, "nobody"]},
        "days": {"type": "integer", "maximum": 30, "examples": [7]},
    },
    "required": ["who"],
    "additionalProperties": False,
}
FIND = Tool("find", f"Finds {NAME}.", PARAMETERS)
STOP = Tool("stop", None, {"type": "object", "properties": {}, "additionalProperties": False})


def seen(texts) -> dict[str, str]:
    return {text: text.replace(NAME, PSEUDONYM) for text in texts}


def pseudonymized(text: str) -> PseudonymizedText:
    start = text.find(NAME)
    findings = [] if start < 0 else [Finding(start, start + len(NAME), "NAME", 0)]
    return PseudonymizedText(text, findings, {0: PSEUDONYM})


def grammar_of(tools: Tools) -> str:
    return tools.compile([pseudonymized(text) for text in tools.texts], [], HERMES).text


def test_definitions_are_shown_without_identities():
    tools = Tools((FIND, STOP))
    shown = tools.shapes(seen(tools.texts))
    assert NAME not in json.dumps(shown)
    assert shown[0]["function"]["description"] == f"Finds {PSEUDONYM}."
    assert shown[0]["function"]["parameters"]["properties"]["who"]["enum"] == [PSEUDONYM, "nobody"]
    assert shown[0]["function"]["parameters"]["properties"]["days"]["examples"] == [7]
    assert shown[1] == STOP.shape
    assert "description" not in shown[1]["function"]


def test_a_grammar_holds_what_the_model_sees(accepts):
    grammar = grammar_of(Tools((FIND, STOP)))
    assert NAME not in grammar
    assert accepts(grammar, '<tool_call>{"name":"find","arguments":{"who":"[NAME_1]","days":7}}</tool_call>')
    assert accepts(grammar, '<tool_call>{"name":"stop","arguments":{}}</tool_call>')
    assert not accepts(grammar, '<tool_call>{"name":"find","arguments":{}}</tool_call>')


def test_a_named_tool_is_the_only_one(accepts):
    grammar = grammar_of(Tools((FIND, STOP), required=True, only="stop"))
    assert accepts(grammar, '<tool_call>{"name":"stop","arguments":{}}</tool_call>')
    assert not accepts(grammar, '<tool_call>{"name":"find","arguments":{"who":"nobody"}}</tool_call>')


def test_a_name_that_identifies_somebody_is_refused_without_saying_it():
    tools = Tools((STOP, Tool("call_maria", None, {"type": "object"})))
    with pytest.raises(InvalidRequest) as caught:
        tools.shapes({text: text.replace("call_maria", PSEUDONYM) for text in tools.texts})
    assert caught.value.param == "tools"
    assert "tools.1" in caught.value.message
    assert "maria" not in caught.value.message


@pytest.mark.parametrize("name", ["Maria_Alvarez", "find-Maria--Alvarez", "callMariaAlvarez"])
def test_a_name_is_searched_word_by_word(name):
    tools = Tools((Tool(name, None, {"type": "object"}),))
    with pytest.raises(InvalidRequest):
        tools.shapes(seen(tools.texts))


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object", "properties": {"a": {"type": "strng"}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "object", "properties": {NAME: {"type": "string"}}},
        {"type": "object", "properties": {"a": {"pattern": f"^{NAME}$", "type": "string"}}},
    ],
    ids=str,
)
def test_parameters_that_cannot_be_forced_are_refused_by_the_tools_name(parameters):
    tools = Tools((STOP, Tool("find", None, parameters)), only="stop")
    with pytest.raises(InvalidGrammar) as caught:
        grammar_of(tools)
    assert caught.value.param == "tools"
    assert "tools.1" in caught.value.message
    assert "'find'" in caught.value.message
    assert NAME not in caught.value.message


def test_a_call_made_earlier_is_seen_without_identities():
    call = ToolCall("call_1", "find", json.dumps({"who": NAME, "deep": [{NAME: [1, None, True, 482913]}]}))
    texts = list(call.texts)
    assert call.arguments in texts
    assert {"find", "who", NAME, "deep", "1", "482913"} <= set(texts)
    changed = seen(texts) | {"482913": "[MRN_1]"}
    shown = call.as_seen(changed)
    assert (shown.id, shown.name) == ("call_1", "find")
    assert json.loads(shown.arguments) == {
        "who": PSEUDONYM,
        "deep": [{PSEUDONYM: [1, None, True, "[MRN_1]"]}],
    }
