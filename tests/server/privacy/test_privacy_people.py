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


@pytest.mark.parametrize("name", ["Smith", "J. Smith", "John"])
def test_part_of_a_name_with_a_professional_title_means_no_other_person(name):
    people = People(["John Smith", name])

    assert people.identity(name, professional=True) != people.identity("John Smith")
    assert people.identity(name) == people.identity("John Smith")


def test_part_of_a_name_with_a_professional_title_means_a_professional():
    people = People(["John Smith", "Mary Smith", "Smith"], professionals=["Mary Smith", "Smith"])

    assert people.identity("Smith", professional=True) == people.identity("Mary Smith")


def test_a_surname_of_two_persons_is_an_identity_of_its_own():
    names = ["John Smith", "Mary Smith", "Smith"]
    people = People(names)

    assert len({people.identity(name) for name in names}) == 3
