"""Settings of an eval run: the same environment names as the service, so one endpoint serves both."""

from pydantic_settings import BaseSettings, SettingsConfigDict

from agent.settings import LlmSettings
from strategy.errors import InputError


class EvalSettings(BaseSettings):
    """What evals read from the environment."""

    model_config = SettingsConfigDict(
        env_prefix="MESHWRIGHT_", env_nested_delimiter="__", env_file=".env", frozen=True, extra="ignore"
    )

    llm: LlmSettings | None = None


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
