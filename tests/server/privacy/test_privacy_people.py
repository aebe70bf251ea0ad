import pytest

from server.privacy.people import People


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("John Smith", "SMITH, JOHN"),
        ("John Smith", "JOHN SMITH"),
        ("John Smith", "Smith"),
        ("John Smith", "John"),
        ("John Smith", "J. Smith"),
        ("John Smith", "Smith, John A."),
        ("Jose\u0301 Núñez", "José Núñez"),
        ("Sean O'Brien", "O\u2019Brien"),
    ],
)
def test_one_person(one, other):
    people = People([one, other])

    assert people.identity(one) == people.identity(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("John Smith", "Mary Smith"),
        ("John Smith", "John Petrov"),
        ("John A. Smith", "John B. Smith"),
        ("John Smith", "M. Smith"),
    ],
)
def test_two_persons(one, other):
    people = People([one, other])

    assert people.identity(one) != people.identity(other)


def test_a_surname_of_two_persons_is_an_identity_of_its_own():
    names = ["John Smith", "Mary Smith", "Smith"]
    people = People(names)

    assert len({people.identity(name) for name in names}) == 3
