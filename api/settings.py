"""Settings: environment variables named MESHWRIGHT_*, or the same in a `.env` file. Nothing else in the project reads the environment."""

import difflib
import os
from collections.abc import Iterator
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent.settings import LlmSettings, LoopSettings
from strategy.errors import InputError

PREFIX = "MESHWRIGHT_"
NESTED = "__"


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
    loop: LoopSettings = Field(default=LoopSettings(), description="where a run stops, and how it repairs")
    threads: int = Field(default=4, ge=1, le=256, description="plans that one process computes at a time")
    max_body_bytes: int = Field(default=2_000_000, ge=1_000, description="largest request body over REST")
    max_document_bytes: int = Field(default=20_000_000, ge=1_000, description="largest file that the CLI reads")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level that is logged"
    )
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


def variables(model: type[BaseModel] = Settings, prefix: str = PREFIX) -> Iterator[tuple[str, type[BaseModel], str]]:
    """Every variable that is read, with the model and the field it fills."""
    for name, field in model.model_fields.items():
        nested = _nested_model(field.annotation)
        if nested is None:
            yield f"{prefix}{name.upper()}", model, name
        else:
            yield from variables(nested, f"{prefix}{name.upper()}{NESTED}")


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `LlmSettings | None`."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _variable(location: tuple[str | int, ...]) -> str:
    text = NESTED.join(str(part).upper() for part in location)
    return text if text.startswith(PREFIX) else PREFIX + text


def _refuse_misspelt() -> None:
    """A variable that nobody reads is a mistake, not a wish: refuse it with the nearest name."""
    known = [name for name, _, _ in variables()]
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            nearest = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean `{nearest[0]}`?" if nearest else "see the settings table in README.md"
            raise InputError(f"unknown setting `{name}`", hint=hint)
