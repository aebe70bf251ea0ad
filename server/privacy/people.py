"""Which names of a request are one person.

`John Smith`, `SMITH, JOHN` and `John A. Smith` are one; so are `J. Smith`, `Smith` and `John` where they
fit exactly one person of the request. `Dr. Smith` is `John Smith` only where he is called a clinician too.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from server.privacy.recognizers.name_grammar import folded, name_words

Identity = tuple[str, ...]

MIDDLE_NAMES = 2  # more words between a given name and a surname are a second person


class Form(NamedTuple):
    """A name in folded words; `given` is empty for a single word, `middle` holds words and initials."""

    given: str
    middle: tuple[str, ...]
    surname: str

    @property
    def words(self) -> tuple[str, ...]:
        """All words, in the order of `First M. Last`."""
        return (self.given, *self.middle, self.surname)

    @property
    def middle_initial(self) -> str:
        """The first letter of the first middle name, empty without one."""
        return self.middle[0][0] if self.middle else ""


class Index:
    """Persons by the words of their full names."""

    def __init__(self, full: Iterable[tuple[Form, Identity]]) -> None:
        self._by_surname: dict[str, set[Identity]] = defaultdict(set)
        self._by_other: dict[str, set[Identity]] = defaultdict(set)
        for form, person in full:
            self._by_surname[form.surname].add(person)
            for word in (form.given, *form.middle):
                self._by_other[word].add(person)

    def candidates(self, form: Form) -> set[Identity]:
        """Who is meant by a surname with at most an initial before it, or else by another word alone."""
        persons = self._by_surname.get(form.surname, set())
        if form.given:
            return {person for person in persons if person[0].startswith(form.given)}
        return persons or self._by_other.get(form.surname, set())


class People:
    """The persons of one request; `words` are all the words of their names, folded, without initials."""

    def __init__(self, names: Iterable[str], professionals: Iterable[str] = ()) -> None:
        """`professionals` are those of `names` that are written with a professional title or a credential."""
        forms = {form for name in names if (form := parse(name))}
        initials: dict[tuple[str, str], set[str]] = defaultdict(set)
        for form in forms:
            initials[form.given, form.surname].add(form.middle_initial)
        self._middle_initials: Mapping[tuple[str, str], set[str]] = initials
        full = {(form, self._of_full(form)) for form in forms if len(form.given) > 1}
        treating = {self._of_full(form) for name in professionals if (form := parse(name))}
        self._everybody = Index(full)
        self._professionals = Index((form, person) for form, person in full if person in treating)
        self.words = frozenset(word for form in forms for word in form.words if len(word) > 1)

    def knows(self, name: str) -> bool:
        """Whether `name` is the full name of a person of this request, in any case."""
        form = parse(name)
        if form is None or not form.given or len(form.middle) > MIDDLE_NAMES:
            return False
        return (form.given, form.surname) in self._middle_initials

    def identity(self, name: str, *, professional: bool = False) -> Identity:
        """The person whom `name` means; a name that fits several persons is an identity of its own.

        `professional` is whether a title or credential stands here: then part of a name means no patient.
        """
        form = parse(name)
        if form is None:
            return (folded(name),)
        if len(form.given) > 1:
            return self._of_full(form)
        return self._of_partial(form, professional=professional)

    def _of_full(self, form: Form) -> Identity:
        """Given name and surname, with the middle initial where it tells two people apart."""
        initials = self._middle_initials.get((form.given, form.surname), set()) - {""}
        return (form.given, form.surname, form.middle_initial if len(initials) > 1 else "")

    def _of_partial(self, form: Form, *, professional: bool) -> Identity:
        candidates = (self._professionals if professional else self._everybody).candidates(form)
        return next(iter(candidates)) if len(candidates) == 1 else (form.given, form.surname)


def parse(name: str) -> Form | None:
    """The words of `name`, of `First M. Last` or `Last, First M.`; None where it holds no word."""
    last, comma, first = name.partition(",")
    words = name_words(first) + name_words(last) if comma else name_words(name)
    if not words:
        return None
    return Form(words[0] if len(words) > 1 else "", tuple(words[1:-1]), words[-1])
