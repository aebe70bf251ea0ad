import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from server.settings import Settings, load_settings

EXAMPLE = Path(__file__).parents[2] / "deploy" / "infirmary.toml"


@pytest.fixture
def uncommented() -> str:
    return re.sub(r"^# (?=\w+ = )", "", EXAMPLE.read_text(), flags=re.MULTILINE)


def keys(model: type[BaseModel]) -> set[str]:
    """Dotted names of all settings; a group is a model of its own."""
    names = set()
    for name, field in model.model_fields.items():
        kind = field.annotation
        is_group = isinstance(kind, type) and issubclass(kind, BaseModel)
        names |= {f"{name}.{key}" for key in keys(kind)} if is_group else {name}
    return names


def flatten(tables: dict, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in tables.items():
        is_group = isinstance(value, dict) and prefix + name not in keys(Settings)
        flat |= flatten(value, f"{prefix}{name}.") if is_group else {prefix + name: value}
    return flat


def test_as_shipped_it_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    defaults = load_settings()
    monkeypatch.setenv("INFIRMARY_CONFIG", str(EXAMPLE))
    assert load_settings() == defaults


def test_it_names_every_setting(uncommented: str) -> None:
    assert set(flatten(tomllib.loads(uncommented))) == keys(Settings)


def test_uncommented_it_loads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uncommented: str) -> None:
    path = tmp_path / "infirmary.toml"
    path.write_text(uncommented)
    monkeypatch.setenv("INFIRMARY_CONFIG", str(path))
    load_settings()


def test_the_values_shown_are_the_defaults(uncommented: str) -> None:
    shown = flatten(tomllib.loads(uncommented))
    defaults = flatten(Settings.model_construct().model_dump(mode="json"))
    known = {name: value for name, value in defaults.items() if value is not None}
    assert {name: shown[name] for name in known} == known
