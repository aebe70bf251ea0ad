"""What the clients of a soak ask for, at random."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

CHAT = "/v1/chat/completions"
NOTE = "/v1/clinical/medications"
MORE_THAN_THE_CONTEXT = "fever and cough " * 9000
SENTENCES = (
    "She was admitted with fever and a productive cough for four days.",
    "Metoprolol 25 mg PO BID was continued and prednisone 10 mg was stopped last week.",
    "He denies chest pain, nausea or dizziness.",
    "Aspirin 81 mg daily and lisinopril 10 mg PO daily were given.",
    "Patient: Maria Alvarez, MRN 4471902, phone 555-301-7788.",
    "The temperature was 38.4 and the pulse 96 on arrival.",
    "On the third day the white count had fallen to 8.2.",
    "Insulin glargine 12 units at night was started on the ward.",
)
SYSTEMS = [f"You are the scribe of ward {ward}. " + " ".join(SENTENCES[ward:] * 4) for ward in range(4)]
SCHEMA = {
    "type": "object",
    "properties": {
        "drug": {"type": "string", "maxLength": 20},
        "doses": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
        "certain": {"type": "boolean"},
    },
    "required": ["drug", "doses", "certain"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "record", "description": SENTENCES[4], "parameters": SCHEMA}}
]
BAD_SCHEMAS: list[Any] = [
    {"type": "strng"},
    {"type": "string", "pattern": "("},
    {"enum": []},
    {"$ref": "#/x"},
]


@dataclass(frozen=True)
class Question:
    """A request, and the errors that would be right beside those that any may meet."""

    kind: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    refusals: frozenset[tuple[int, str]] = frozenset()
    patience_s: float | None = None


class Questions:
    """What one client asks for, one after the other; it keeps up one conversation of several turns."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._chat: list[dict[str, str]] = []

    def answered(self, text: str) -> None:
        """Take up what the last turn was answered."""
        self._chat.append({"role": "assistant", "content": text or "."})

    def next(self) -> Question:
        random = self._random
        makers = (
            self._turn,
            self._plain,
            self._schema,
            self._tools,
            self._note,
            self._too_long,
            self._bad_schema,
        )
        question = random.choices(makers, weights=(6, 8, 4, 3, 3, 1, 1))[0]()
        headers = {"X-Infirmary-Priority": random.choice(("interactive", "normal", "bulk"))}
        if random.random() < 0.1:
            headers["X-Request-Timeout"] = f"{random.uniform(0.05, 5):.2f}"
        patience_s = random.uniform(0.01, 4) if random.random() < 0.12 else None
        return Question(question.kind, question.path, question.body, headers, question.refusals, patience_s)

    def _body(self, messages: list[dict[str, str]], **more: Any) -> dict[str, Any]:
        temperature = self._random.choice((0, 0, 0.7, 1.2))
        tokens = self._random.choice((1, 8, 24, 64))
        return {
            "model": "auto",
            "messages": messages,
            "max_tokens": tokens,
            "temperature": temperature,
        } | more

    def _turn(self) -> Question:
        if len(self._chat) > 7 or not self._chat or self._chat[-1]["role"] == "user":
            self._chat = [{"role": "system", "content": self._random.choice(SYSTEMS)}]
        self._chat.append({"role": "user", "content": self._random.choice(SENTENCES)})
        return Question("turn", CHAT, self._body(list(self._chat)))

    def _plain(self) -> Question:
        random = self._random
        text = " ".join(random.choices(SENTENCES, k=random.randint(1, 30)))
        more: dict[str, Any] = {}
        if random.random() < 0.3:
            more["n"] = 2
        if random.random() < 0.2:
            more |= {"logprobs": True, "top_logprobs": random.randint(0, 5)}
        if random.random() < 0.2:
            more["logit_bias"] = {str(random.randrange(49_000)): random.choice((-100, 5, 100))}
        if random.random() < 0.5:
            more["stream"] = True
        kind = "stream" if "stream" in more else "whole"
        return Question(kind, CHAT, self._body([{"role": "user", "content": text}], **more))

    def _schema(self) -> Question:
        stream = {"stream": True} if self._random.random() < 0.3 else {}
        body = self._formatted(SCHEMA) | stream
        too_short = frozenset({(400, "invalid_request")}) if body["max_tokens"] < 24 else frozenset()
        return Question("schema", CHAT, body, refusals=too_short)

    def _tools(self) -> Question:
        stream = {"stream": True} if self._random.random() < 0.5 else {}
        choice = self._random.choice(("auto", "required", "none"))
        body = self._body(
            [{"role": "user", "content": self._random.choice(SENTENCES)}], tools=TOOLS, tool_choice=choice
        )
        return Question("tools", CHAT, body | stream)

    def _formatted(self, schema: Any) -> dict[str, Any]:
        named = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        return self._body(
            [{"role": "user", "content": self._random.choice(SENTENCES)}], response_format=named
        )

    def _note(self) -> Question:
        text = " ".join(self._random.choices(SENTENCES, k=self._random.randint(1, 4)))
        return Question("note", NOTE, {"text": text})

    def _too_long(self) -> Question:
        body = self._body([{"role": "user", "content": MORE_THAN_THE_CONTEXT}])
        return Question("too long", CHAT, body, refusals=frozenset({(400, "context_length_exceeded")}))

    def _bad_schema(self) -> Question:
        codes = frozenset({(400, "invalid_grammar"), (400, "invalid_request")})
        return Question("bad schema", CHAT, self._formatted(self._random.choice(BAD_SCHEMAS)), refusals=codes)
