import pytest

from server.errors import InvalidGrammar, InvalidOutput
from server.inference.text_constraints import ChoiceConstraint, GrammarConstraint, RegexConstraint
from server.privacy.findings import Finding
from server.privacy.pseudonyms import Deidentified, pseudonymize

NAME = "Maria Alvarez"
OTHERWISE = "ALVAREZ, MARIA"


def seen(*texts: str) -> Deidentified:
    """`texts` as the model sees them, one person known by two names."""
    findings = [
        [Finding(at, at + len(name), "NAME", 0) for name in (NAME, OTHERWISE) if (at := text.find(name)) >= 0]
        for text in texts
    ]
    return pseudonymize(texts, findings)


def test_choices_are_forced_with_pseudonyms_and_come_back_as_given(accepts):
    constraint = ChoiceConstraint([OTHERWISE, "nobody", f"Ms. {NAME}", "nobody"])
    message, *texts = (deidentified := seen(f"Patient: {NAME}", *constraint.texts)).texts
    grammar = constraint.compile(texts, [message]).text

    assert not constraint.is_json
    assert "ALVAREZ" not in grammar.upper()
    for written, answer in {
        "[NAME_1_2]": OTHERWISE,
        "nobody": "nobody",
        "Ms. [NAME_1]": f"Ms. {NAME}",
    }.items():
        assert accepts(grammar, written)
        assert deidentified.vault.restore(written) == answer
        constraint.check(answer)
    assert not accepts(grammar, "[NAME_1]")
    with pytest.raises(InvalidOutput):
        constraint.check(NAME)


@pytest.mark.parametrize(
    "constraint",
    [RegexConstraint(f"{NAME}|nobody"), GrammarConstraint(f'start: "{NAME}"')],
    ids=["regex", "grammar"],
)
def test_an_identifier_in_a_regex_or_a_grammar_is_refused(constraint):
    with pytest.raises(InvalidGrammar, match="holds an identifier") as caught:
        constraint.compile(seen(*constraint.texts).texts, [])
    assert NAME not in caught.value.message


@pytest.mark.parametrize(
    "constraint",
    [RegexConstraint(r"[A-Z_0-9\[\]]{3,9}"), GrammarConstraint("start: A\nA: /[A-Z_0-9\\[\\]]{3,9}/")],
    ids=["regex", "grammar"],
)
def test_a_name_that_no_longer_fits_fails_the_answer(accepts, constraint):
    grammar = constraint.compile(seen(*constraint.texts).texts, []).text
    assert accepts(grammar, "[NAME_1]")
    constraint.check("ANN")
    with pytest.raises(InvalidOutput) as caught:
        constraint.check(NAME)
    assert NAME not in caught.value.message
