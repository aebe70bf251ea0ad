import json

import pytest

from server.privacy.restorer import Restorer

ORIGINALS = {"[NAME_1]": "Maria Alvarez", "[NAME_10]": 'Ann "Nan" O\'Brien\n', "[DATE_2]": "3/14"}


@pytest.mark.parametrize(
    ("fed", "shown"),
    [
        ("plain", "plain"),
        ("see [NAM", "see "),
        ("see [NAME_1", "see "),
        ("see [NAME_1]", "see Maria Alvarez"),
        ("see [NAME_10", "see "),
        ("see [NAME_2", "see [NAME_2"),
        ("see [x", "see [x"),
        ("[[", "["),
        ("[NAME_1][", "Maria Alvarez"),
    ],
)
def test_holds_back_only_what_may_become_a_pseudonym(fed, shown):
    assert Restorer(ORIGINALS).feed(fed) == shown


def test_a_beginning_that_never_closes_is_flushed():
    restorer = Restorer(ORIGINALS)

    assert restorer.feed("see [NAME_1") + restorer.flush() == "see [NAME_1"
    assert restorer.flush() == ""


def test_json_escapes_quotes_and_newlines():
    restorer = Restorer(ORIGINALS, json=True)

    assert json.loads('"' + restorer.feed("[NAME_10]") + '"') == ORIGINALS["[NAME_10]"]
