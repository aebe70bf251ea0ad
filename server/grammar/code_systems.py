"""Code systems (ICD-10-CM, LOINC, a hospital's own lists), read from files when the server starts."""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from server.errors import InvalidGrammar, StartupError

MAX_MEMBERS = 500_000
MAX_CODE_CHARACTERS = 64
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_COLUMNS = ("code", "display")


@dataclass(frozen=True)
class CodeSystem:
    """Codes and their displays, in the order of the file; `digest` is the file's SHA-256 in hex."""

    name: str
    version: str | None
    digest: str
    displays: Mapping[str, str]

    def display(self, code: str) -> str | None:
        """What the code means, as the file says it; None where it is no member."""
        return self.displays.get(code)


class CodeSystems:
    """The code systems that schemas may refer to.

    `placeholders` are the token ids that can stand for one each in a grammar.
    """

    def __init__(self, systems: Iterable[CodeSystem] = (), placeholders: Sequence[int] = ()) -> None:
        self._systems = {system.name: system for system in systems}
        self._placeholders = placeholders
        if self._systems and not placeholders:
            raise StartupError(
                "codes: the vocabulary of these weights has no control token to stand for a code system"
            )

    def __iter__(self) -> Iterator[CodeSystem]:
        return iter(self._systems.values())

    def __contains__(self, name: str) -> bool:
        return name in self._systems

    def find(self, name: str) -> CodeSystem | None:
        """The code system of that name."""
        return self._systems.get(name)

    def placeholders(self, names: Sequence[str]) -> dict[str, int]:
        """A token id for each of these systems; raises InvalidGrammar where there are not as many."""
        if len(names) > len(self._placeholders):
            raise InvalidGrammar(
                f"the schema refers to {len(names)} code systems, and the vocabulary of these weights has "
                f"control tokens for {len(self._placeholders)}"
            )
        return dict(zip(names, self._placeholders, strict=False))


NO_CODE_SYSTEMS = CodeSystems()


def read_code_system(name: str, path: Path) -> CodeSystem:
    """Read a .csv or .tsv file with the columns `code` and `display`; others are left alone.

    A first line that begins with # is the version. Raises StartupError, which names the setting, the file
    and the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StartupError(f"codes.{name}: {path} cannot be read: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StartupError(f"codes.{name}: {path} is not UTF-8 at byte {error.start}") from error
    version = None
    if text.startswith("#"):
        version = text.partition("\n")[0].strip("# \r") or None
    try:
        displays = _displays(text, path.suffix.lower(), skipped=int(text.startswith("#")))
    except ValueError as error:
        raise StartupError(f"codes.{name}: {path}{error}") from error
    return CodeSystem(name, version, hashlib.sha256(data).hexdigest(), displays)


def _displays(text: str, suffix: str, *, skipped: int) -> dict[str, str]:
    if suffix not in _DELIMITERS:
        raise ValueError(" must be a .csv or a .tsv file")
    if skipped:
        text = text.partition("\n")[2]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_DELIMITERS[suffix], strict=True)
    displays: dict[str, str] = {}
    try:
        header = _header(next(rows, []))
        for row in filter(None, rows):
            code, display = _cells(row, header)
            _check(code, displays)
            displays[code] = display
    except (csv.Error, ValueError) as error:
        raise ValueError(f", line {max(rows.line_num, 1) + skipped}: {error}") from error
    if not displays:
        raise ValueError(" holds no code")
    return displays


def _header(row: Sequence[str]) -> list[str]:
    names = [name.strip().lower() for name in row]
    for column in _COLUMNS:
        if names.count(column) != 1:
            raise ValueError(f"the header must name one column '{column}'")
    return names


def _cells(row: Sequence[str], header: Sequence[str]) -> list[str]:
    """Code and display of a row."""
    if len(row) != len(header):
        raise ValueError(f"{len(row)} columns, where the header has {len(header)}")
    return [row[header.index(column)] for column in _COLUMNS]


def _check(code: str, displays: Mapping[str, str]) -> None:
    if not code or code != code.strip() or len(code) > MAX_CODE_CHARACTERS:
        raise ValueError(f"a code has 1 to {MAX_CODE_CHARACTERS} characters, without blanks around it")
    if not code.isprintable() or '"' in code or "\\" in code:
        raise ValueError("a code holds no quotation mark, backslash or control character")
    if code in displays:
        raise ValueError(f"the code {code} is there twice")
    if len(displays) == MAX_MEMBERS:
        raise ValueError(f"there are more than {MAX_MEMBERS} codes")
