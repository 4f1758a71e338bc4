"""Settings: environment variables named MESHWRIGHT_*, lines of a `.env` file, or `meshwright.toml`, the first that names one.

The TOML file has the names without prefix, in lower case, `llm` and `loop` as tables; MESHWRIGHT_CONFIG names another file. Nothing
else in the project reads the environment.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from agent.settings import LlmSettings, LoopSettings
from strategy.errors import InputError, plainly

PREFIX = "MESHWRIGHT_"
NESTED = "__"
CONFIG = f"{PREFIX}CONFIG"
CONFIG_FILE = "meshwright.toml"


class Settings(BaseSettings):
    """Everything that an operator may choose. Only the two entry points build it, and pass its parts down."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        env_file=".env",
        extra="forbid",
        frozen=True,
        env_ignore_empty=True,
    )

    host: str = Field(default="127.0.0.1", description="address that `serve` binds")
    port: int = Field(default=8000, ge=0, le=65_535, description="port that `serve` binds; 0 takes a free one")
    proposer: Literal["planner", "llm"] = Field(
        default="planner", description="who proposes when a request does not say"
    )
    llm: LlmSettings | None = Field(default=None, description="the OpenAI-compatible endpoint of the LLM proposer")
    record: Path | None = Field(default=None, description="file to append every exchange with the language model to")
    knowledge: tuple[Path, ...] = Field(
        default=(),
        description="folders of markdown pages beside ours, as a JSON list; a page added there is found without a restart",
    )
    loop: LoopSettings = Field(default=LoopSettings(), description="where a run stops, and how it repairs")
    database: SecretStr = Field(
        default=SecretStr("sqlite:meshwright.sqlite3"),
        description="where runs and keys are kept: `sqlite:PATH`, or `postgresql://...` for more than one machine",
    )
    run_slots: int = Field(
        default=8,
        ge=0,
        le=1_000,
        description="stored runs that one process works on at a time; 0 leaves them to workers",
    )
    lease_s: float = Field(
        default=5.0, ge=0.5, le=600, description="seconds after which another process takes up the runs of a dead one"
    )
    retention_days: float = Field(default=30.0, gt=0, description="days for which ended runs are kept")
    threads: int = Field(default=4, ge=1, le=256, description="plans that one process computes at a time")
    llm_slots: int = Field(
        default=64, ge=1, le=10_000, description="plans by language model that one process waits for"
    )
    max_waiting: int = Field(
        default=256, ge=0, description="requests that wait for their turn; one more is answered 503"
    )
    max_queued_runs: int = Field(default=1_000, ge=1, description="stored runs that wait; one more is answered 503")
    request_timeout_s: float = Field(
        default=240.0, gt=0, description="longest time that a request takes, waiting included"
    )
    drain_s: int = Field(default=30, ge=0, description="seconds that requests in flight have to end after SIGTERM")
    require_keys: bool = Field(
        default=False, description="answer only requests with an API key (`meshwright keys add`)"
    )
    rate_per_minute: int = Field(
        default=0, ge=0, description="requests a minute of one key, or of one address without keys; 0 is no limit"
    )
    plans_per_day: int = Field(default=0, ge=0, description="plans a day of one key; 0 is no limit")
    max_body_bytes: int = Field(default=2_000_000, ge=1_000, description="largest request body over REST")
    max_document_bytes: int = Field(default=20_000_000, ge=1_000, description="largest file that the CLI reads")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level that is logged"
    )
    log_json: bool = Field(default=False, description="log JSON lines instead of text")
    mcp: bool = Field(default=False, description="also serve the MCP tools at `/mcp`; needs the extra `mcp`")
    otel_endpoint: str = Field(
        default="",
        description="OTLP/HTTP collector that gets traces, such as `http://localhost:4318`; needs the extra `otel`",
    )
    debug: bool = Field(default=False, description="show tracebacks of unexpected errors on stderr")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is the base's
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then `.env`, then the TOML file. Lines of `.env` for other programs, such as compose, are theirs."""
        if isinstance(dotenv_settings, DotEnvSettingsSource):
            lines = dotenv_settings.env_vars.items()
            dotenv_settings.env_vars = {name: text for name, text in lines if name.upper().startswith(PREFIX)}
        return init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls, _config_file())


def load() -> Settings:
    """The settings of this process. Raises `InputError` that names the variable when one is misspelt or does not fit."""
    _refuse_misspelt()
    try:
        return Settings()
    except ValidationError as error:
        raise _told(error) from None
    except SettingsError as error:
        raise _not_json(error) from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{_config_file()}: {error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{_config_file()} or .env: not UTF-8 text") from None


def debugging() -> bool:
    """Whether tracebacks are wanted; readable even when the settings themselves are broken."""
    return os.environ.get(f"{PREFIX}DEBUG", "").lower() in {"1", "true", "yes", "on"}


def variables(model: type[BaseModel] = Settings, prefix: str = PREFIX) -> Iterator[tuple[str, type[BaseModel], str]]:
    """Every variable that is read, with the model and the field it fills."""
    for name, field in model.model_fields.items():
        nested = _nested_model(field.annotation)
        if nested is None:
            yield f"{prefix}{name.upper()}", model, name
        else:
            yield from variables(nested, f"{prefix}{name.upper()}{NESTED}")


def _config_file() -> Path:
    """The TOML file; one that was named has to be there."""
    named = os.environ.get(CONFIG)
    if named and not Path(named).is_file():
        raise InputError(f"{CONFIG} names `{named}`, which is no file")
    return Path(named or CONFIG_FILE)


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `LlmSettings | None`."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _variable(location: tuple[str | int, ...]) -> str:
    text = NESTED.join(str(part).upper() for part in location)
    return text if text.startswith(PREFIX) else PREFIX + text


def _told(error: ValidationError) -> InputError:
    """What does not fit, without the values: one may be a key."""
    found = error.errors(include_url=False, include_input=False)
    unknown = [_variable(detail["loc"]) for detail in found if detail["type"] == "extra_forbidden"]
    if unknown:
        return _unknown(unknown[0])
    told = "; ".join(f"{_variable(detail['loc'])}: {plainly(detail['msg'])}" for detail in found)
    return InputError(told, hint="see the settings table in README.md")


def _not_json(error: SettingsError) -> InputError:
    """A list or a mapping that is written otherwise; only the name of the field is taken from the library's words."""
    field = re.search(r'field "(\w+)"', str(error))
    name = PREFIX + (field[1].upper() if field else "...")
    return InputError(
        f"{name}: the value is not JSON", hint='a list is written ["FOLDER", "FOLDER"], a mapping {"name": "value"}'
    )


def _refuse_misspelt() -> None:
    """A variable that nobody reads is a mistake, not a wish."""
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in _known():
            raise _unknown(name)


def _known() -> list[str]:
    return [CONFIG, *(name for name, _, _ in variables())]


def _unknown(name: str) -> InputError:
    nearest = difflib.get_close_matches(name.upper(), _known(), n=1)
    hint = f"did you mean `{nearest[0]}`?" if nearest else "see the settings table in README.md"
    return InputError(f"unknown setting `{name}`", hint=hint)
