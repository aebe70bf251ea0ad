import itertools
import json

import pytest
from outlines.types import CFG

from server.grammar.compiler import compile_output_type
from server.grammar.members import Member, members


def grammar_of(required: tuple[bool, ...]) -> str:
    rules: list[str] = []

    def rule(text: str) -> str:
        rules.append(f"rule_{len(rules)}: {text}")
        return f"rule_{len(rules) - 1}"

    found = [Member(json.dumps(f'"{name}":1'), each) for name, each in zip("abcd", required, strict=False)]
    start = members(found, rule)
    return compile_output_type(CFG("\n".join([f"start: {start}", *rules]))).text


@pytest.mark.parametrize("required", [*itertools.product([True, False], repeat=3), ()])
def test_members_stand_in_order_with_commas_between(accepts, required):
    grammar = grammar_of(required)
    names = "abcd"[: len(required)]
    for kept in itertools.product([True, False], repeat=len(required)):
        document = {name: 1 for name, each in zip(names, kept, strict=True) if each}
        is_whole = all(each or not needed for each, needed in zip(kept, required, strict=True))
        assert accepts(grammar, json.dumps(document, separators=(",", ":"))) == is_whole
    for wrong in ('{,"a":1}', '{"a":1,}', '{"a":1"b":1}', '{"b":1,"a":1}', '{"a":1,"a":1}'):
        assert not accepts(grammar, wrong)
