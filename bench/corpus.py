"""JSON Schemas with their instances, read from folders of `*.json` or from `.jsonl` files."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LONGEST_ORDER_WALK = 200


@dataclass(frozen=True)
class Case:
    """One schema of a corpus; `instances` are (value, whether it is valid)."""

    name: str
    schema: Any
    instances: Sequence[tuple[Any, bool]] = field(default=(), repr=False)


@dataclass(frozen=True)
class Folder:
    """What one path of the command line holds; `unread` are files that are no JSON."""

    name: str
    cases: Sequence[Case]
    unread: Sequence[str] = ()


def read(path: Path) -> Folder:
    """All schemas below a folder, or of a `.jsonl` file with a field `json_schema` (text or object)."""
    cases, unread = [], []
    for name, text in _texts(path):
        try:
            cases.append(_case(name, json.loads(text)))
        except (ValueError, RecursionError):
            unread.append(name)
    return Folder(path.stem if path.is_file() else path.name, cases, unread)


def sampled(folder: Folder, count: int | None, seed: int) -> Folder:
    """`count` cases of a folder, the same ones for the same seed; all of them without a count."""
    if count is None or count >= len(folder.cases):
        return folder
    chosen = random.Random(f"{seed}:{folder.name}").sample(range(len(folder.cases)), count)
    return Folder(folder.name, [folder.cases[index] for index in sorted(chosen)], folder.unread)


def in_schema_order(value: Any, schema: Any, root: Any, steps: int = _LONGEST_ORDER_WALK) -> Any:
    """`value` with the keys of its objects in the order in which the schema declares them, others behind."""
    if isinstance(value, list):
        items = [part for part in _parts(schema, root, steps, "items") if isinstance(part, Mapping)]
        return [in_schema_order(item, items[0] if items else {}, root, steps - 1) for item in value]
    if not isinstance(value, dict) or steps <= 0:
        return value
    declared: dict[str, Any] = {}
    for properties in _parts(schema, root, steps, "properties"):
        if isinstance(properties, Mapping):
            declared = {
                **declared,
                **{name: part for name, part in properties.items() if name not in declared},
            }
    names = [name for name in declared if name in value] + [name for name in value if name not in declared]
    return {name: in_schema_order(value[name], declared.get(name, {}), root, steps - 1) for name in names}


def _parts(schema: Any, root: Any, steps: int, keyword: str) -> Iterator[Any]:
    """What `keyword` says in a schema and in those that it applies in place, in the order of the text."""
    if not isinstance(schema, Mapping) or steps <= 0:
        return
    for name, part in schema.items():
        if name == keyword:
            yield part
        elif name in ("allOf", "anyOf", "oneOf") and isinstance(part, list):
            for each in part:
                yield from _parts(each, root, steps - 1, keyword)
        elif name == "$ref" and isinstance(part, str):
            yield from _parts(_resolved(part, root), root, steps - 1, keyword)


def _resolved(reference: str, root: Any) -> Any:
    part = root
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        part = part.get(name) if isinstance(part, Mapping) else None
    return part if reference.startswith("#") else None


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        for file in sorted(path.rglob("*.json")):
            yield str(file.relative_to(path)), file.read_text(encoding="utf-8", errors="replace")
        return
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if line.strip():
            yield f"{path.name}:{number}", line


def _case(name: str, content: Any) -> Case:
    """A bare schema, {"json_schema": …}, or {"schema": …, "tests": [{"valid": …, "data": …}]}."""
    if isinstance(content, dict) and "json_schema" in content:
        schema = content["json_schema"]
        return Case(name, json.loads(schema) if isinstance(schema, str) else schema)
    if isinstance(content, dict) and isinstance(content.get("tests"), list) and "schema" in content:
        tests = (test for test in content["tests"] if isinstance(test, dict) and "data" in test)
        return Case(name, content["schema"], [(test["data"], bool(test.get("valid"))) for test in tests])
    return Case(name, content)
