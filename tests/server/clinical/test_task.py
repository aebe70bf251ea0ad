import json
from dataclasses import replace

import jsonschema
import pytest

from schemas.clinical.evidence import Provenance
from server.clinical.catalogue import Catalogue
from server.clinical.evidence import EvidenceLocator
from server.clinical.task import Example, Task
from server.grammar.compiler import compile_output_type
from server.grammar.grounded import grounded_type
from server.grammar.spans import SourceText
from server.privacy.findings import Finding
from server.privacy.pseudonyms import pseudonymize

PROVENANCE = dict.fromkeys(Provenance.model_fields, "x")
TASKS = list(Catalogue())
EXAMPLES = [
    pytest.param(task, example, id=f"{task.name}-{number}")
    for task in TASKS
    for number, example in enumerate(task.examples, start=1)
]
ALL = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


def answer_in_the_prompt(task: Task, example: Example) -> str:
    """The example's answer as the prompt shows it to the model."""
    roles = [message.role for message in task.messages("")]
    turn = 1 + 2 * task.examples.index(example)
    assert roles[turn : turn + 2] == ["user", "assistant"]
    assert task.messages("")[turn].text == example.note
    return task.messages("")[turn + 1].text


@ALL
def test_every_task_shows_examples(task):
    assert task.examples


@pytest.mark.parametrize("task, example", EXAMPLES)
def test_an_example_fits_the_schema_of_its_draft(task, example):
    jsonschema.validate(json.loads(answer_in_the_prompt(task, example)), dict(task.draft_schema))


@pytest.mark.parametrize("task, example", EXAMPLES)
def test_an_example_is_what_the_grammar_would_have_written(accepts, task, example):
    grammar = compile_output_type(grounded_type(task.draft_schema, {"text": SourceText(example.note)}))
    assert accepts(grammar.text, answer_in_the_prompt(task, example))


@ALL
def test_whatever_the_grammar_lets_through_becomes_an_answer(walk, task):
    original = "Takes “x” 25mg PO\r\nper Bo daily."
    start = original.index("Bo")
    deidentified = pseudonymize([original], [[Finding(start, start + 2, "NAME", 0)]])
    note = deidentified.texts[0]
    grammar = compile_output_type(
        grounded_type(task.draft_schema, {"text": SourceText(note.text, note.atoms)})
    )
    locator = EvidenceLocator(note, deidentified.vault, task.draft_schema)
    for seed in range(10):
        document = json.loads(walk(grammar.text, seed))
        task.draft.model_validate(document)
        task.answer.model_validate(locator.locate(document) | {"provenance": PROVENANCE})


@ALL
def test_only_the_note_is_the_callers(task):
    messages = task.messages("the note")
    assert [(each.role, each.text) for each in messages if each.from_caller] == [("user", "the note")]
    assert messages[-1].from_caller
    assert messages[0].role == "system"


@ALL
def test_the_prompts_hash_is_of_all_that_operators_wrote(task):
    changed = [
        replace(task, instruction=task.instruction + "."),
        replace(task, examples=task.examples[:-1]),
        replace(task, examples=(replace(task.examples[0], note="Another."), *task.examples[1:])),
    ]
    hashes = {each.prompt_hash for each in (task, *changed)}
    assert len(hashes) == 4
    assert replace(task, max_tokens=1).prompt_hash == task.prompt_hash
