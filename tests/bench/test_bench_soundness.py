import json
from random import Random

import pytest
from click.testing import CliRunner
from corpus import Case, in_schema_order, read, sampled
from documents import Length, Writer, byte_tokenizer
from killable import Died, TookTooLong, Worker
from reasons import keyword, place
from soundness import main
from validation import CannotJudge, Judge, parsed
from verdict_table import Result, findings, markdown, refusals
from verdicts import ACCEPTED, HUNG, REFUSED, Compiled, Drawing, Written, serve, write_and_judge
from verdicts import compile_ours as compile_case

GOOD = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
DRAFT_4 = "http://json-schema.org/draft-04/schema#"
LENGTH = Length(60, 2000)
DRAWING = Drawing(5, LENGTH, 1)


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "bare.json").write_text(json.dumps(GOOD))
    tests = [{"valid": True, "data": {"a": 1}}, {"valid": False, "data": {"a": "x"}}]
    (tmp_path / "tested.json").write_text(json.dumps({"schema": GOOD, "tests": tests}))
    (tmp_path / "refused.json").write_text(json.dumps({"type": "array", "uniqueItems": True}))
    (tmp_path / "broken.json").write_text("{")
    return tmp_path


def test_each_form_of_a_corpus_is_read(corpus, tmp_path_factory):
    folder = read(corpus)
    assert [case.name for case in folder.cases] == ["bare.json", "refused.json", "tested.json"]
    assert folder.cases[2].schema == GOOD
    assert folder.cases[2].instances == [({"a": 1}, True), ({"a": "x"}, False)]
    assert folder.unread == ["broken.json"]

    lines = tmp_path_factory.mktemp("lines") / "some.jsonl"
    lines.write_text("\n".join(json.dumps({"json_schema": each}) for each in (GOOD, json.dumps(GOOD))))
    assert [case.schema for case in read(lines).cases] == [GOOD, GOOD]
    assert read(lines).cases[1].name == "some.jsonl:2"


def test_a_sample_is_the_same_for_the_same_seed(corpus):
    folder = read(corpus)
    assert len(sampled(folder, 2, 1).cases) == 2
    assert sampled(folder, 2, 1) == sampled(folder, 2, 1)
    assert sampled(folder, 9, 1) is folder


def test_an_instance_is_written_in_the_order_of_its_schema():
    schema = {
        "properties": {"b": {"$ref": "#/$defs/c"}},
        "allOf": [{"properties": {"a": {"items": {"$ref": "#/$defs/c"}}}}],
        "$defs": {"c": {"properties": {"y": {}, "x": {}}}},
    }
    value = {"z": 0, "a": [{"x": 1, "y": 2}], "b": {"x": 1, "y": 2}}
    expected = '{"b": {"y": 2, "x": 1}, "a": [{"y": 2, "x": 1}], "z": 0}'
    assert json.dumps(in_schema_order(value, schema, schema)) == expected


@pytest.mark.parametrize(
    ("message", "named", "where"),
    [
        ("#/properties/a/format cannot be forced: Unknown format: x", "format", "#/properties/a/format"),
        ('#/$defs/x cannot be forced: Unimplemented keys: ["if", "then"]', "if", "#/$defs/x"),
        ("$.properties.a breaks its rule 'minimum'", "minimum", "$.properties.a"),
        ("oneOf constraints are not supported", "oneOf", ""),
        ("# cannot be forced: lookarounds in regex", "cannot be forced lookarounds in regex", "#"),
        ("", "no reason given", ""),
    ],
)
def test_a_refusal_is_counted_by_the_keyword_it_names(message, named, where):
    assert (keyword(message), place(message)) == (named, where)


@pytest.mark.parametrize(
    ("schema", "value", "named"),
    [
        ({"type": "integer"}, "x", "type"),
        ({"type": "string", "format": "date"}, "2023-02-29", "format date"),
        ({"anyOf": [{"type": "null"}, {"properties": {"a": {"minimum": 3}}}]}, {"a": 1}, "minimum"),
        (
            {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 3, "exclusiveMinimum": True},
            3,
            "minimum",
        ),
    ],
)
def test_a_fault_names_the_keyword_that_failed(schema, value, named):
    fault = Judge(schema).fault(value, "")
    assert fault is not None
    assert fault.keyword == named


def test_a_document_that_fits_has_no_fault():
    assert Judge(GOOD).fault({"a": 1}, "") is None


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"items": 3}])
def test_what_is_no_schema_is_not_judged(schema):
    with pytest.raises(CannotJudge):
        Judge(schema)


@pytest.mark.parametrize("schema", [{"pattern": "\\p{L}"}, {"$ref": "http://127.0.0.1:1/x"}])
def test_what_the_validator_does_not_know_is_not_judged(schema):
    with pytest.raises(CannotJudge):
        Judge(schema).fault("x", "")


def test_names_that_come_twice_and_numbers_beyond_a_double_are_told():
    assert parsed(b'{"a":1,"b":{"c":1,"c":2}}').duplicates == ("c",)
    assert parsed(b"[1e999]").overflows
    assert not parsed(b'{"a":1.5}').overflows
    with pytest.raises(ValueError, match="NaN"):
        parsed(b"NaN")


def test_documents_end_and_are_those_of_the_grammar():
    writer = Writer(byte_tokenizer(), compile_case(Case("good", GOOD)).grammar)
    for seed in range(30):
        document = writer.write(Random(seed), LENGTH)
        assert document == writer.write(Random(seed), LENGTH)
        assert document is not None
        assert writer.accepts(document)
    assert not writer.accepts(b'{"a":"x"}')
    assert not writer.accepts(b'{"a":1')


def test_a_grammar_that_writes_what_does_not_fit_is_found():
    loose = compile_case(Case("loose", {"type": "integer"})).grammar
    case = Case("tight", {"type": "integer", "maximum": -1}, [(-1, True), (5, False), ("x", False)])
    written = write_and_judge(case, loose, DRAWING)
    assert {fault.keyword for fault in written.wrong} == {"maximum", "invalid instance"}
    assert (written.valid_instances, written.valid_accepted, written.invalid_instances) == (1, 1, 2)


def test_what_hangs_is_killed_and_what_dies_is_told_and_the_next_question_is_answered():
    worker = Worker(serve, (DRAWING,), memory_gib=4)
    try:
        assert worker.ask("ours", Case("good", GOOD), limit_s=60).outcome == ACCEPTED
        with pytest.raises(TookTooLong):
            worker.ask("ours", Case("good", GOOD), limit_s=0)
        with pytest.raises(Died, match="exit status 1"):
            worker.ask("no such question", limit_s=60)
        assert worker.ask("ours", Case("good", GOOD), limit_s=60).outcome == ACCEPTED
    finally:
        worker.close()


def test_the_table_counts_what_was_found():
    accepted, refused = (
        Compiled(ACCEPTED, ms=2.0),
        Compiled(REFUSED, "#/a/minProperties cannot be forced", 1.0),
    )
    fault = Judge(GOOD).fault({"a": "x"}, '{"a":"x"}')
    assert fault is not None
    results = [
        Result("one", "a.json", accepted, accepted, Written(documents=5, wrong=[fault])),
        Result("one", "b.json", refused, accepted, None, Written(documents=5, wrong=[fault])),
        Result("two", "c.json", Compiled(HUNG, "longer than 2 s"), refused),
    ]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in markdown(results).splitlines()]
    rows = {row[0]: dict(zip(cells[0], row, strict=True)) for row in cells[2:]}
    assert (rows["one"]["accepted"], rows["one"]["refused"], rows["one"]["wrong"]) == ("1", "1", "1")
    assert (rows["one"]["refused by us alone"], rows["one"]["of these shown unsound"]) == ("1", "1")
    assert (rows["all"]["schemas"], rows["all"]["hung"]) == ("3", "1")
    assert rows["one"]["compile ms p50 / p99 / max"] == "1.0 / 2.0 / 2.0"
    assert "| minProperties" in refusals(results)
    assert len(findings(results)) == 2
    assert [result.faulty for result in results] == [True, False, True]


def test_the_script_prints_a_table_or_all_of_it(corpus):
    options = ["--jobs", "1", "--documents", "2", "--limit-s", "60", "--check"]
    printed = CliRunner().invoke(main, [str(corpus), *options])
    assert printed.exit_code == 0, printed.output
    assert "| uniqueItems" not in printed.output
    assert "broken.json is no JSON" in printed.output

    report = json.loads(CliRunner().invoke(main, [str(corpus), *options, "--json"]).stdout)
    outcomes = {each["name"]: each["ours"]["outcome"] for each in report["schemas"]}
    assert outcomes == {"bare.json": ACCEPTED, "refused.json": REFUSED, "tested.json": ACCEPTED}
