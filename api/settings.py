"""Settings: environment variables named MESHWRIGHT_*, or the same in a `.env` file. Nothing else in the project reads the environment."""

import difflib
import os
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent.openai import LlmSettings
from strategy.errors import InputError

PREFIX = "MESHWRIGHT_"
NESTED = "__"


class Settings(BaseSettings):
    """Everything that an operator may choose. Only the two entry points build it, and pass its parts down."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=NESTED, env_file=".env", extra="forbid", frozen=True, env_ignore_empty=True
    )

    host: str = Field(default="127.0.0.1", description="address that `serve` binds")
    port: int = Field(default=8000, ge=0, le=65_535, description="port that `serve` binds; 0 takes a free one")
    proposer: Literal["planner", "llm"] = Field(default="planner", description="who proposes when a request does not say")
    llm: LlmSettings = Field(default=LlmSettings(), description="the OpenAI-compatible endpoint of the LLM proposer")
    threads: int = Field(default=4, ge=1, le=256, description="plans that one process computes at a time")
    max_body_bytes: int = Field(default=2_000_000, ge=1_000, description="largest request body over REST")
    max_document_bytes: int = Field(default=20_000_000, ge=1_000, description="largest file that the CLI reads")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="least level that is logged")
    log_json: bool = Field(default=False, description="log JSON lines instead of text")
    debug: bool = Field(default=False, description="show tracebacks of unexpected errors on stderr")


def load() -> Settings:
    """The settings of this process. Raises `InputError` that names the variable when one is misspelt or does not fit."""
    _refuse_misspelt()
    try:
        return Settings()
    except ValidationError as error:
        told = [f"{_variable(detail['loc'])}: {detail['msg']}" for detail in error.errors(include_url=False)]
        raise InputError("; ".join(told), hint="see the settings table in README.md") from None


def debugging() -> bool:
    """Whether tracebacks are wanted; readable even when the settings themselves are broken."""
    return os.environ.get(f"{PREFIX}DEBUG", "").lower() in {"1", "true", "yes", "on"}


def table() -> str:
    """The settings as a markdown table, for README.md."""
    rows = [f"| `{name}` | {default} | {description} |" for name, default, description in _rows(Settings, PREFIX)]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows])


def _rows(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _rows(inner, f"{prefix}{name.upper()}{NESTED}")
        else:
            yield f"{prefix}{name.upper()}", _shown(field.default), field.description or ""


def _shown(default: Any) -> str:
    if default is None or isinstance(default, SecretStr) or default == "":
        return "-"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _variable(location: tuple[str | int, ...]) -> str:
    text = NESTED.join(str(part).upper() for part in location)
    return text if text.startswith(PREFIX) else PREFIX + text


def _refuse_misspelt() -> None:
    """A variable that nobody reads is a mistake, not a wish: refuse it with the nearest name."""
    known = [name for name, _, _ in _rows(Settings, PREFIX)]
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            nearest = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean `{nearest[0]}`?" if nearest else "see the settings table in README.md"
            raise InputError(f"unknown setting `{name}`", hint=hint)
