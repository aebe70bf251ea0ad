import pytest

from server.errors import InvalidGrammar
from server.grammar.lark import MAX_GRAMMAR_CHARACTERS, callers_lark

GOOD = r"""
// a question, and its answer
start: (item ", "~0..3 | "none"i) END?   # <|im_end|> is only a comment here
item: NAME ":" [WORD]
NAME: /[a-z\/"#<>@%]+/ & /.{2,5}/
END: "." | "\"<|im_end|>\"" | "#" | "//"
%import common.WORD
%ignore / /
"""


def test_comments_go_and_all_else_stays():
    read = callers_lark(GOOD)
    assert "question" not in read
    assert "only a comment" not in read
    assert read.count("\n") == GOOD.count("\n")
    assert r"/[a-z\/" + '"#<>@%]+/ & /.{2,5}/' in read
    assert r'"\"<|im_end|>\""' in read
    assert callers_lark(read).split() == read.split()


@pytest.mark.parametrize(
    "grammar, reason",
    [
        ("start: <|im_end|>", "tokens of the vocabulary"),
        ("start: <[2]>", "tokens of the vocabulary"),
        ("start: <[*]>", "tokens of the vocabulary"),
        ("start: <[^1-3]>", "tokens of the vocabulary"),
        ('start: "a" </s>', "tokens of the vocabulary"),
        ("start: @other", "other grammars"),
        ("start: @{", "other grammars"),
        ('%llguidance {"allow_invalid_utf8": true}\nstart: "a"', "'%llguidance' is not supported"),
        ('start: %json {"type": "string"}', "'%json' is not supported"),
        ('start: %regex {"substring_chars": "abc"}', "'%regex' is not supported"),
        ("start: %lark { start: <|im_end|> }", "'%lark' is not supported"),
        ("%declare A\nstart: A", "'%declare' is not supported"),
        ('start[temperature=0.7]: "a"', "attributes"),
        ('start[lazy]: "a"', "attributes"),
        ('start[max_tokens=3] : "a"', "attributes"),
        ('start: a::1\na::1: "a"', "parameters"),
        ("start: A\nA: ~/a/", "'~' must be followed by a number"),
        ('start: A\nA: /b/ & ~"a"', "'~' must be followed by a number"),
        ("start: A\nA: ~\n/a/", "'~' must be followed by a number"),
        ('start: "a', "cannot be read"),
        ("start: /a\nb/", "cannot be read"),
        ("start: 'a'", "cannot be read"),
        ("start: \u00e9", "cannot be read"),
        ("start: \0", "cannot be read"),
        ('start: "' + "a" * MAX_GRAMMAR_CHARACTERS + '"', "longer than"),
    ],
)
def test_what_reaches_beyond_the_text_is_refused(grammar, reason):
    with pytest.raises(InvalidGrammar, match=reason) as caught:
        callers_lark(grammar)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "grammar",
    [
        '# "\nstart: <|im_end|> # "',
        '// "\nstart: <|im_end|> // "',
        "# /\nstart: <|im_end|> # /",
        'start: "a" // " /\n <|im_end|> // " /',
        'start: /a/ # / "\n | <[2]>',
        r'start: "\\" <|im_end|> "\\"',
        r"start: /\\/ <|im_end|> /\\/",
        'start: "a"i<|im_end|>',
        "start: /a/i<|im_end|>",
    ],
)
def test_nothing_hides_behind_a_comment_or_a_quote(grammar):
    with pytest.raises(InvalidGrammar, match="tokens of the vocabulary"):
        callers_lark(grammar)


def test_a_refusal_names_the_line():
    with pytest.raises(InvalidGrammar, match="line 3 of the grammar"):
        callers_lark('start: a\na: "x"\nb: <|im_end|>')
