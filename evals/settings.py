"""Settings of an eval run: the same environment names as the service, so one endpoint serves both."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from agent.deps import RECORDED, Deps, default_deps
from agent.settings import LlmSettings, LoopSettings
from strategy.errors import InputError

UNHURRIED = LoopSettings(deadline_s=3600.0)
"""A score must not depend on how busy the machine is; only a live model is held to the deadline of the service."""


class EvalSettings(BaseSettings):
    """What evals read from the environment."""

    model_config = SettingsConfigDict(
        env_prefix="MESHWRIGHT_", env_nested_delimiter="__", env_file=".env", frozen=True, extra="ignore"
    )

    llm: LlmSettings | None = None
    record: Path | None = None
    """File that every exchange with the language model is appended to."""


def llm_for(proposer: str) -> LlmSettings | None:
    """Endpoint settings when the language model is to propose. Raises `InputError` when none is configured."""
    if proposer != "llm":
        return None
    llm = EvalSettings().llm
    if llm is None:
        raise InputError(
            "no language model is configured", hint="set MESHWRIGHT_LLM__BASE_URL and MESHWRIGHT_LLM__MODEL"
        )
    return llm


def deps_for(proposer: str) -> Deps:
    """The loop's parts for a proposer's name: `planner`, `llm` or `recorded:FILE`.

    Raises `InputError` for what is none, is not configured or cannot be read.
    """
    if proposer.startswith(RECORDED):
        return default_deps(replay=Path(proposer.removeprefix(RECORDED)), settings=UNHURRIED)
    if proposer not in ("planner", "llm"):
        raise InputError(f"unknown proposer `{proposer}`", hint="there are: planner, llm, recorded:FILE")
    hurry = None if proposer == "llm" else UNHURRIED
    return default_deps(llm_for(proposer), hurry, record=EvalSettings().record)
