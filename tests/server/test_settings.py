from pathlib import Path

import pytest
from pydantic import ValidationError

from server.errors import StartupError
from server.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def message(**overrides: object) -> str:
    with pytest.raises(StartupError) as caught:
        load_settings(**overrides)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_defaults(directory: Path) -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.engine.sequences) == ("127.0.0.1", 8000, 8)
    assert settings.database_address == f"sqlite:///{directory}/infirmary-data/infirmary.db"


def test_sources_in_order(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "infirmary.toml").write_text(
        "port = 1\nhost = 'toml'\n[engine]\nsequences = 2\nbatch_tokens = 64\nthreads = 3\n"
    )
    monkeypatch.setenv("INFIRMARY_HOST", "environment")
    monkeypatch.setenv("INFIRMARY_ENGINE__SEQUENCES", "4")
    monkeypatch.setenv("INFIRMARY_ENGINE__BATCH_TOKENS", "128")
    settings = load_settings(engine={"sequences": 5})
    assert (settings.port, settings.host) == (1, "environment")
    assert (settings.engine.sequences, settings.engine.batch_tokens, settings.engine.threads) == (5, 128, 3)


def test_the_file_can_be_named(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "other.toml").write_text("port = 9")
    monkeypatch.setenv("INFIRMARY_CONFIG", "other.toml")
    assert load_settings().port == 9


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFIRMARY_WEIGHTS", "")
    assert load_settings().weights is None


def test_settings_are_frozen() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.engine.sequences = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prot = 1", "prot (infirmary.toml) is not a setting; did you mean port?"),
        ("[engine]\nthread = 1", "engine.thread (infirmary.toml) is not a setting; did you mean engine.t"),
        ("port = 'x'", "port (infirmary.toml): Input should be a valid integer"),
        ("[engine]\nsequences = 65", "engine.sequences (infirmary.toml): Input should be less than"),
        ("engine = 3", "engine (infirmary.toml): Input should be a valid dictionary"),
        ("port = ", "infirmary.toml is not valid TOML: Invalid value (at end of document)"),
        ("secret_key = 'short'", "secret_key (infirmary.toml): Value should have at least 32 items"),
        ("database_url = 'mysql://u:short@h'", "database_url (infirmary.toml): must begin with"),
    ],
)  # fmt: skip
def test_mistakes_in_toml(directory: Path, text: str, expected: str) -> None:
    (directory / "infirmary.toml").write_text(text)
    assert message().startswith(expected)
    assert "short" not in message()


def test_a_file_that_is_not_text(directory: Path) -> None:
    (directory / "infirmary.toml").write_bytes(b"\xff")
    assert message() == "infirmary.toml cannot be read: UnicodeDecodeError"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "INFIRMARY_PROT",
            "1",
            "INFIRMARY_PROT (environment) is not a setting; did you mean INFIRMARY_PORT?",
        ),
        (
            "INFIRMARY_ENGINE__THREAD",
            "1",
            "INFIRMARY_ENGINE__THREAD (environment) is not a setting; did you mean INFIRMARY_ENGINE__T",
        ),
        ("INFIRMARY_ENGINE", "{}", "INFIRMARY_ENGINE (environment) is not a setting"),
        ("INFIRMARY_PORT", "tcp://10.0.0.1:80", "port (INFIRMARY_PORT): Input should be a valid integer"),
        (
            "INFIRMARY_ENGINE__SPLIT_MODE",
            "x",
            "engine.split_mode (INFIRMARY_ENGINE__SPLIT_MODE): Input should be",
        ),
        ("INFIRMARY_DATABASE_URL", "hunter2", "database_url (INFIRMARY_DATABASE_URL): must begin with"),
        ("INFIRMARY_CONFIG", "none.toml", "INFIRMARY_CONFIG names none.toml, which is not a file"),
    ],
)
def test_mistakes_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    assert message().startswith(expected)
    assert "hunter2" not in message()


def test_mistakes_on_the_command_line() -> None:
    assert message(port=70000).startswith("port (command line): Input should be less than or equal to 65535")
    assert message(engine={"sequences": 0}).startswith("engine.sequences (command line): ")


@pytest.mark.parametrize("attention", ["auto", "on"])
def test_a_quantized_cache_goes_with_fused_attention(attention: str) -> None:
    load_settings(engine={"kv_type": "q8_0", "flash_attention": attention})
    load_settings(engine={"flash_attention": "off"})


def test_a_quantized_cache_without_fused_attention_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFIRMARY_ENGINE__KV_TYPE", "q8_0")
    monkeypatch.setenv("INFIRMARY_ENGINE__FLASH_ATTENTION", "off")
    line = message()
    assert line.startswith('engine.flash_attention (INFIRMARY_ENGINE__FLASH_ATTENTION): must not be "off"')
    assert "engine.kv_type" in line


def test_secrets_are_not_shown() -> None:
    settings = load_settings(
        bootstrap_key="hunter2", secret_key="hunter2" * 8, database_url="postgres://u:hunter2@h/d"
    )
    assert "hunter2" not in repr(settings)
    assert settings.database_address == "postgres://u:hunter2@h/d"


def test_every_field_is_described() -> None:
    groups = [field.annotation for field in Settings.model_fields.values() if not field.description]
    assert len(groups) == 3
    for group in groups:
        assert all(field.description for field in group.model_fields.values())
