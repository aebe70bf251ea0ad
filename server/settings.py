"""Every setting: one frozen object, read once from the command line, the environment and TOML."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from server.errors import StartupError

_PREFIX = "INFIRMARY_"
_CONFIG_VARIABLE = "INFIRMARY_CONFIG"
_DEFAULT_CONFIG = Path("infirmary.toml")
_CODE_SYSTEM = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_DATABASE_SCHEMES = ("sqlite", "postgresql", "postgres", "postgresql+psycopg")


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class EngineSettings(_Group):
    """How llama.cpp runs the weights."""

    sequences: int = Field(8, ge=1, le=64, description="Answers generated at once.")
    context_tokens: int | None = Field(
        None,
        ge=64,
        description="Tokens of one sequence; unset, what the weights were trained for and memory allows, "
        "2048 to 8192.",
    )
    batch_tokens: int = Field(512, ge=64, le=8192, description="Tokens a decode step may carry.")
    threads: int | None = Field(None, ge=1, description="CPU threads; unset, one for each CPU there is.")
    n_gpu_layers: int = Field(
        -1, ge=-1, description="Layers on the GPU; -1 is all, where there is one; 0 is the CPU."
    )
    split_mode: Literal["none", "layer", "row"] = Field(
        "layer", description="How several GPUs share the weights."
    )
    kv_type: Literal["f16", "q8_0"] = Field(
        "f16", description="Numbers of the KV cache; q8_0 takes about half the memory of f16."
    )
    flash_attention: Literal["auto", "on", "off"] = Field("auto", description="Fused attention kernels.")
    kv_layout: Literal["streams", "unified"] = Field(
        "streams", description="A KV stream for each sequence, or one that all share and scan."
    )
    prefix_cache: Literal["exact", "full", "off"] = Field(
        "exact",
        description="Reuse of prompts computed before: in whole blocks, of any token, or none.",
    )
    prefix_cache_bytes: int = Field(
        1024**3, ge=0, description="Host memory for prompts of requests that have ended."
    )
    speculation: bool = Field(True, description="Check tokens that followed the same words before.")
    target_step_s: float = Field(
        0.4, gt=0, description="Seconds between two tokens that a long prompt may cause elsewhere."
    )
    aging_s: float = Field(20, gt=0, description="Seconds of waiting that raise a request by one class.")
    blas: Literal["auto", "on", "off"] = Field(
        "auto", description="OpenBLAS for prompts on the CPU; auto is for Q4_1 weights, where it is built."
    )
    queue_requests: int = Field(256, ge=1, description="Requests that may wait; more are answered 429.")
    queue_tokens: int = Field(
        262_144, ge=1, description="Prompt tokens that may wait; more are answered 429."
    )
    start_timeout_s: float = Field(
        120, gt=0, description="Seconds within which the engine must have the weights."
    )

    @field_validator("flash_attention")
    @classmethod
    def _fits_kv_type(cls, value: str, info: ValidationInfo) -> str:
        if value == "off" and info.data.get("kv_type") == "q8_0":
            raise ValueError('must not be "off" where engine.kv_type is "q8_0", which llama.cpp needs it for')
        return value


class PrivacySettings(_Group):
    """The search for identifiers."""

    policy: Literal["pseudonymize", "off"] = Field(
        "pseudonymize", description="What becomes of identifiers; off lets them reach the model."
    )
    workers: int = Field(1, ge=1, le=64, description="Processes that look for identifiers.")
    timeout_s: float = Field(10, gt=0, description="Seconds for one request; past them it is refused.")


class LimitSettings(_Group):
    """What one request may ask for."""

    head_bytes: int = Field(65_536, ge=1024, description="Size of a request's line and headers.")
    head_timeout_s: float = Field(10, gt=0, description="Seconds within which they must have arrived.")
    body_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="Size of a request body.")
    max_tokens: int = Field(1024, ge=1, description="Length of an answer when the request names none.")
    request_timeout_s: float = Field(
        600, gt=0, description="Seconds for one answer; a request may ask for fewer."
    )
    drain_s: float = Field(
        30,
        ge=0,
        le=3600,
        description="Seconds that running requests get to finish when the server is stopped.",
    )


class Settings(BaseSettings):
    """The settings of one process. A group is a table in TOML; its variables are `INFIRMARY_GROUP__KEY`."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    data_dir: Path = Field(
        Path("infirmary-data"), description="Directory of the database and the secret key."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    weights: Path | None = Field(None, description="The GGUF file to serve; unset, the demo weights.")
    database_url: SecretStr | None = Field(
        None,
        description="sqlite:///path or postgresql://user:password@host/name; unset, a file in data_dir.",
    )
    bootstrap_key: SecretStr | None = Field(
        None, description="An API key with every scope, added at the start."
    )
    secret_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="Keys the digests of API keys, alike on all replicas; unset, secret.key in data_dir.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level logged."
    )
    codes: dict[str, Path] = Field(
        {},
        description="Code systems that schemas may refer to: a file with codes and displays for each name.",
    )
    engine: EngineSettings = EngineSettings()
    privacy: PrivacySettings = PrivacySettings()
    limits: LimitSettings = LimitSettings()

    @property
    def database_address(self) -> str:
        """`database_url`, or the SQLite file in `data_dir`. It may hold a password."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.absolute() / 'infirmary.db'}"

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and url.get_secret_value().partition("://")[0] not in _DATABASE_SCHEMES:
            raise ValueError("must begin with sqlite:/// or postgresql://")
        return url

    @field_validator("codes")
    @classmethod
    def _named_code_systems(cls, codes: dict[str, Path]) -> dict[str, Path]:
        if not all(map(_CODE_SYSTEM.fullmatch, codes)):
            raise ValueError(
                "a name is 1 to 64 of a-z, 0-9, '.', '_' and '-', and begins with none of the signs"
            )
        return codes

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Overrides, then the environment, then TOML."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_path())


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; `overrides` are fields by name, groups as dicts, and win over every source.

    Raises StartupError with one line that names the key, the problem and the source, and never the value.
    """
    _check_variables(os.environ)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise StartupError(_explain(error, overrides)) from None
    except SettingsError:  # of all variables this one alone is read as JSON
        raise StartupError("codes (INFIRMARY_CODES): must be a JSON object of names and files") from None
    except tomllib.TOMLDecodeError as error:
        raise StartupError(f"{config_path()} is not valid TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"{config_path()} cannot be read: {type(error).__name__}") from None


def config_path() -> Path:
    """The TOML file: the one `INFIRMARY_CONFIG` names, which must exist, else `infirmary.toml` here."""
    named = os.environ.get(_CONFIG_VARIABLE)
    if named and not Path(named).is_file():
        raise StartupError(f"{_CONFIG_VARIABLE} names {named}, which is not a file")
    return Path(named) if named else _DEFAULT_CONFIG


def _check_variables(environment: Mapping[str, str]) -> None:
    """Refuse unknown variables: a misspelt one would be ignored in silence."""
    known = {_CONFIG_VARIABLE, *map(_variable, _keys(Settings))}
    for name in environment:
        if name.upper().startswith(_PREFIX) and name.upper() not in known:
            raise StartupError(f"{name} (environment) is not a setting{_suggestion(name.upper(), known)}")


def _keys(model: type[BaseModel], parent: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every setting that is not a group."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys(kind, (*parent, name))
        else:
            yield (*parent, name)


def _variable(key: tuple[str, ...]) -> str:
    return _PREFIX + "__".join(key).upper()


def _suggestion(name: str, known: set[str]) -> str:
    nearest = get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _explain(error: ValidationError, overrides: Mapping[str, Any]) -> str:
    """One line about the first problem."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    key = tuple(str(part) for part in problem["loc"])
    name = ".".join(key)
    if problem["type"] == "extra_forbidden":
        known = {".".join(path) for path in _keys(Settings)}
        return f"{name} ({_source(key, overrides)}) is not a setting{_suggestion(name, known)}"
    return f"{name} ({_source(key, overrides)}): {problem['msg'].removeprefix('Value error, ')}"


def _source(key: tuple[str, ...], overrides: Mapping[str, Any]) -> str:
    if _holds(overrides, key):
        return "command line"
    variables = {name.upper() for name in os.environ}
    return _variable(key) if _variable(key) in variables else str(config_path())


def _holds(values: Any, key: tuple[str, ...]) -> bool:
    for part in key:
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True
