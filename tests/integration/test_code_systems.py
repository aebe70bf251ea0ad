"""Codes of a loaded code system, from the file to the answer."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest

CHAT = "/v1/chat/completions"
CODES = {
    "E11.9": "Type 2 diabetes mellitus without complications",
    "E11.65": "Type 2 diabetes mellitus with hyperglycemia",
    "I10": "Essential (primary) hypertension",
    "J45.909": "Unspecified asthma, uncomplicated",
    "Z79.4": "Long term (current) use of insulin",
}
UNITS = {"mg/dL": "milligram per deciliter", "10*3/uL": "thousand per microliter", "%": "percent"}
CODE = {"type": "string", "x-code-in": "icd-10-cm"}
UNIT = {"type": "string", "x-code-in": "ucum"}
NULL = {"type": "null"}
QUESTION = "Type 2 diabetes with insulin, glucose 210 mg/dL, hypertension. Give codes and units as JSON."


def closed(**properties: object) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


SCHEMA = closed(
    diagnoses={"type": "array", "items": closed(code=CODE), "maxItems": 3},
    glucose=closed(value={"type": "integer", "minimum": 0, "maximum": 999}, unit=UNIT),
    other={"anyOf": [CODE, NULL]},
)


def body(schema: dict[str, Any] = SCHEMA, **options: object) -> dict[str, Any]:
    return {
        "model": "auto",
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 160,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
    } | options


def check(content: str) -> None:
    document = json.loads(content)
    jsonschema.validate(document, SCHEMA)
    found = [each["code"] for each in document["diagnoses"]] + [document["other"]]
    assert set(found) <= {*CODES, None}
    assert document["glucose"]["unit"] in UNITS


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    directory: Path = tmp_path_factory.mktemp("codes")
    icd, ucum = directory / "icd.csv", directory / "ucum.tsv"
    icd.write_text("# 2026\ncode,display\n" + "".join(f'{code},"{text}"\n' for code, text in CODES.items()))
    ucum.write_text("code\tdisplay\n" + "".join(f"{code}\t{text}\n" for code, text in UNITS.items()))
    return {"icd-10-cm": str(icd), "ucum": str(ucum)}


@pytest.fixture
def coded(serve, tmp_path, files, make_http):
    """A server with code systems, and a client of it."""
    server = serve(tmp_path / "server", CODES=json.dumps(files))
    with make_http(server) as client:
        yield server, client


def test_answers_hold_members_only_and_go_on_when_the_engine_is_replaced(coded, eventually) -> None:
    server, http = coded
    listed = http.get("/v1/code-systems").json()["code_systems"]
    assert [(each["name"], each["version"], each["members"]) for each in listed] == [
        ("icd-10-cm", "2026", len(CODES)),
        ("ucum", None, len(UNITS)),
    ]
    for options in (
        {"temperature": 0},
        {"temperature": 1.5, "seed": 1, "n": 4},
        {"temperature": 1.5, "seed": 9},
    ):
        answer = http.post(CHAT, json=body(**options)).json()
        for choice in answer["choices"]:
            assert choice["finish_reason"] == "stop"
            check(choice["message"]["content"])

    unknown = http.post(CHAT, json=body(closed(code={"type": "string", "x-code-in": "loinc"})))
    assert unknown.status_code == 400
    assert "$.properties.code" in unknown.json()["error"]["message"]

    (engine,) = server.processes("infirmary-engine")
    engine.kill()
    psutil.wait_procs([engine], timeout=5)
    answers = []

    def answered() -> bool:
        answers.append(http.post(CHAT, json=body(temperature=0)))
        return answers[-1].status_code == 200

    eventually(answered, 20)
    assert {each.status_code for each in answers} <= {200, 503}
    check(answers[-1].json()["choices"][0]["message"]["content"])
    assert server.metric("infirmary_engine_leaks") == 0


@pytest.mark.parametrize(
    "value, said",
    [
        ("codes.csv", "codes (INFIRMARY_CODES): must be a JSON object"),
        ('{"ICD 10": "codes.csv"}', "codes (INFIRMARY_CODES): a name is"),
        ('{"icd": "none.csv"}', "codes.icd: none.csv cannot be read: No such file"),
    ],
)
def test_a_server_whose_code_systems_cannot_be_read_does_not_start(launch, tmp_path, value, said) -> None:
    server = launch(tmp_path, CODES=value)
    server.process.wait(30)
    assert server.process.returncode == 1
    assert server.log.count("\n") == 1
    assert server.log.startswith(f"infirmary: {said}")
