"""Output types of every kind, as OpenAI's own client asks for them of a real server."""

import json
import re
from typing import Any

import jsonschema
import pytest
from openai import BadRequestError

GREEDY = {"model": "auto", "temperature": 0, "max_tokens": 200}
NOTE = """\
Patient: John Smith, MRN 00482913.
CC: "chest pain" \\ 3 days.\tDenies fever; no cough.
SMITH, JOHN takes lisinopril 10 mg PO daily and metformin 500 mg BID.\r
Plan: echo on 3/14/2026, ½ tablet more, naïve to opioids 🙂.
"""
QUESTION = [{"role": "user", "content": NOTE}]
PROBLEM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "x-quote-of": "text", "x-max-words": 4},
        "evidence": {"type": "string", "x-quote-of": "text", "x-max-words": 16},
        "code": {"type": ["string", "null"], "x-quote-of": "text", "x-max-words": 1},
        "certainty": {"enum": ["certain", "unclear"]},
    },
    "required": ["name", "evidence", "code", "certainty"],
    "additionalProperties": False,
}
PROBLEMS = {
    "type": "object",
    "properties": {"problems": {"type": "array", "items": PROBLEM, "minItems": 1, "maxItems": 3}},
    "required": ["problems"],
    "additionalProperties": False,
}


def answer_of(client, outputs: dict[str, Any], *, stream: bool = False, **options: Any) -> str:
    extra = {"structured_outputs": outputs}
    asked = GREEDY | {"messages": QUESTION} | options
    if stream:
        chunks = client.chat.completions.create(stream=True, extra_body=extra, **asked)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    return client.chat.completions.create(extra_body=extra, **asked).choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_a_choice(openai, stream: bool) -> None:
    choices = ["worse", "better", "the same"]
    assert answer_of(openai, {"choice": choices}, stream=stream) in choices


@pytest.mark.parametrize("name", ["SMITH, JOHN", "John Smith", "Mr. John Smith, MRN 00482913"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_choice_comes_back_as_it_was_spelled(openai, name: str, stream: bool) -> None:
    assert answer_of(openai, {"choice": [name]}, stream=stream) == name


@pytest.mark.parametrize("name", ["SMITH, JOHN", "John Smith", 'JOHN "SMITH"'])
@pytest.mark.parametrize("stream", [False, True])
def test_a_member_of_an_enum_comes_back_as_it_was_spelled(openai, name: str, stream: bool) -> None:
    schema = {"type": "object", "properties": {"who": {"enum": [name]}}, "required": ["who"]}
    schema["additionalProperties"] = False
    document = json.loads(answer_of(openai, {"json": schema}, stream=stream))
    jsonschema.validate(document, schema)
    assert document == {"who": name}


@pytest.mark.parametrize("pattern", ["[A-Z][0-9]{2}", "(yes|no), because .{5,40}", r"\p{Lu}[\w ]{3,20}[.!]"])
def test_a_regex(openai, pattern: str) -> None:
    text = answer_of(openai, {"regex": pattern})
    assert re.fullmatch(pattern.replace(r"\p{Lu}", "[A-ZÀ-Þ]"), text)


def test_a_grammar(openai) -> None:
    grammar = """
    // one drug a line
    start: line{1,3}
    line: DRUG " " DOSE " mg\\n"
    DRUG: /[a-z]{4,12}/
    DOSE: /[1-9][0-9]{0,2}/
    """
    lines = answer_of(openai, {"grammar": grammar}).splitlines()
    assert 1 <= len(lines) <= 3
    assert all(re.fullmatch("[a-z]{4,12} [1-9][0-9]{0,2} mg", line) for line in lines)


@pytest.mark.parametrize("as_text", [False, True])
def test_a_schema(openai, as_text: bool) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 120}}}
    schema |= {"required": ["age"], "additionalProperties": False}
    text = answer_of(openai, {"json": json.dumps(schema) if as_text else schema})
    jsonschema.validate(json.loads(text), schema)


def test_any_json_object(openai) -> None:
    assert answer_of(openai, {"json_object": True}, frequency_penalty=0.5).startswith("{")


def assert_quotes(document: dict[str, Any]) -> None:
    jsonschema.validate(document, PROBLEMS)
    for problem in document["problems"]:
        for quote in (problem["name"], problem["evidence"], problem["code"]):
            assert quote is None or re.search(rf"(?<!\w){re.escape(quote)}(?!\w)", NOTE), quote


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_quotes_of_the_note(openai, stream: bool, seed: int) -> None:
    sampled = {"temperature": 1.5, "seed": seed, "max_tokens": 400}
    assert_quotes(json.loads(answer_of(openai, {"json": PROBLEMS}, stream=stream, **sampled)))


def test_quotes_of_the_note_in_a_response_format(openai) -> None:
    asked = {"type": "json_schema", "json_schema": {"name": "problems", "schema": PROBLEMS}}
    completion = openai.chat.completions.create(messages=QUESTION, response_format=asked, **GREEDY)
    assert_quotes(json.loads(completion.choices[0].message.content))


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({"regex": r"\ba"}, "regex"),
        ({"regex": "a", "choice": ["a"]}, "exactly one"),
        ({"regex": "John Smith"}, "identifier"),
        ({"grammar": "start: <|im_end|>"}, "tokens"),
        ({"json": {"type": "string", "x-quote-of": "note"}}, "x-quote-of"),
        ({"structural_tag": "{}"}, "structural_tag"),
        ({"grammar": "start: A\nA: /a/ & /b/"}, "cannot be forced"),
        ({"grammar": f"start: A\nA: {' & '.join(f'/.*{letter}.*/' for letter in 'abcdefghijkl')}"}, "forced"),
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_refused_is_named(openai, outputs: dict[str, Any], said: str, stream: bool) -> None:
    with pytest.raises(BadRequestError) as caught:
        answer_of(openai, outputs, stream=stream)
    assert caught.value.param.startswith("structured_outputs")
    assert said in caught.value.message
    assert "Smith" not in caught.value.message


def test_several_answers_are_each_forced(openai) -> None:
    choices = ["worse", "better", "the same"]
    several = openai.chat.completions.create(
        messages=QUESTION, n=3, seed=7, extra_body={"structured_outputs": {"choice": choices}}, **GREEDY
    )
    assert all(choice.message.content in choices for choice in several.choices)


def test_of_a_message_without_words_nothing_is_quoted(openai) -> None:
    loose = PROBLEMS | {"properties": {"problems": PROBLEMS["properties"]["problems"] | {"minItems": 0}}}
    messages = [{"role": "user", "content": " ... "}]
    assert json.loads(answer_of(openai, {"json": loose}, messages=messages)) == {"problems": []}
    with pytest.raises(BadRequestError, match="nothing to quote"):
        answer_of(openai, {"json": PROBLEMS}, messages=messages)


def test_a_name_too_long_for_the_schema_is_no_answer(http) -> None:
    """The pseudonym fits the schema, the name does not."""
    schema = {"type": "string", "maxLength": 8, "pattern": r"^\[NAME_1\]$"}
    asked = GREEDY | {"messages": QUESTION, "structured_outputs": {"json": schema}}
    answer = http.post("/v1/chat/completions", json=asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "invalid_output")
    stream = http.post("/v1/chat/completions", json=asked | {"stream": True}).text
    assert "invalid_output" in stream
    assert "[DONE]" not in stream
