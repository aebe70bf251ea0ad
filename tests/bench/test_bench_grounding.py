import json
from random import Random

from grounding import SCHEMA, along, answer_of, masks, quote, wandering, written

from server.engine.matcher import Matcher
from server.grammar.acceptance import accepts, byte_tokenizer
from server.grammar.spans import SourceText

NOTE = "Denies fever. Takes 2.5 mg lisinopril, (half a tablet) daily. No cough, no pain; walks a mile."


def test_a_quote_is_a_run_of_the_note():
    source = SourceText(NOTE)
    quotes = [quote(source, Random(seed), 5) for seed in range(50)]
    assert all(each in NOTE and each == each.strip() for each in quotes)


def test_an_answer_of_quotes_is_one_that_the_grammar_takes():
    grammar = written(NOTE)
    for seed in range(5):
        answer = answer_of(SourceText(NOTE), Random(seed))
        assert set(json.loads(answer)) == set(SCHEMA["properties"])
        assert accepts(grammar, answer)


def test_every_mask_is_timed():
    tokenizer = byte_tokenizer()
    matcher = Matcher(tokenizer, written(NOTE).text)
    assert len(list(masks(matcher.fork(), along(b'{"problems":[]')))) == 15
    assert len(list(masks(matcher.fork(), wandering(Random(1), lambda byte: bytes([byte % 256]))))) > 100
