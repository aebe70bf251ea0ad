import pytest

from server.errors import InvalidGrammar
from server.grammar.compiler import compile_json_schema
from server.grammar.depth import is_too_deep


def chain(links: int, wrap) -> dict:
    definitions = {f"a{n}": wrap({"$ref": f"#/$defs/a{n + 1}"}) for n in range(links)}
    return {"$ref": "#/$defs/a0", "$defs": {**definitions, f"a{links}": {"type": "integer"}}}


@pytest.mark.parametrize(
    "wrap", [lambda it: it, lambda it: {"items": it}, lambda it: {"properties": {"p": it}}]
)
def test_a_long_chain_of_references_is_refused_and_ends_no_process(wrap):
    with pytest.raises(InvalidGrammar, match="nested too deeply"):
        compile_json_schema(chain(1400, wrap))
    assert compile_json_schema(chain(200, wrap)).text


def test_a_schema_that_refers_to_itself_is_not_deep():
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    assert not is_too_deep({"$ref": "#/$defs/node", "$defs": {"node": node}})


def test_definitions_that_nobody_refers_to_count_nothing():
    assert not is_too_deep({"$defs": chain(2900, lambda it: it)["$defs"], "type": "null"})
