"""`privacy.policy = "off"`: the texts go to the model as they are, and whoever starts the service is told."""

import json

CHAT = "/v1/chat/completions"
NAME = "Carmen Delacroix"
IDENTITY = {
    "type": "object",
    "properties": {"patient": {"const": NAME}},
    "required": ["patient"],
    "additionalProperties": False,
}
BODY = {
    "model": "auto",
    "messages": [{"role": "user", "content": f"Patient: {NAME}. Who is it?"}],
    "max_tokens": 40,
    "temperature": 0,
    "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": IDENTITY}},
}
WARNING = "de-identification is off: identities reach the model"


async def test_without_deidentification(serve, make_http, audit_rows, tmp_path) -> None:
    server = serve(tmp_path, PRIVACY__POLICY="off")
    assert server.processes("infirmary-privacy") == []
    assert f"WARNING: {WARNING}" in server.output
    events = [json.loads(line) for line in server.log.splitlines()]
    assert [event["level"] for event in events if event["event"] == WARNING] == ["warning"]
    with make_http(server) as http:
        answer = http.post(CHAT, json=BODY)
    assert json.loads(answer.json()["choices"][0]["message"]["content"]) == {"patient": NAME}
    begin, end = await audit_rows(server)
    assert begin.entities is None
    assert end.entities == {}
    assert server.stop() == 0
