"""Settings of the loop and of a language model. Plain values: entry points build them, importing this reads nothing."""

from typing import Any, Literal

from pydantic import Field, SecretStr

from strategy.values import Frozen

Method = Literal["json_schema", "function_calling", "json_mode", "text"]
METHODS: tuple[Method, ...] = ("json_schema", "function_calling", "json_mode", "text")
"""Ways to ask for JSON, the strictest first; a server that refuses one with 400 is asked the next way."""


class LlmSettings(Frozen):
    """An OpenAI-compatible endpoint and how to ask it."""

    base_url: str
    """Root of the API, usually ending in `/v1`."""
    model: str
    """Name of the model, as the endpoint knows it."""
    api_key: SecretStr = SecretStr("")
    """Key of the endpoint; empty when it asks for none."""
    method: Method = "json_schema"
    """How JSON is asked for first: json_schema, function_calling or json_mode."""
    timeout_s: float = Field(default=60.0, gt=0, le=3600)
    """Longest wait for one reply."""
    max_retries: int = Field(default=2, ge=0, le=10)
    """Retries of one call on 429, 5xx and connection errors; the only layer that retries."""
    max_tokens: int = Field(default=8192, ge=64)
    """Longest answer."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """Older servers know only `max_tokens`."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """None leaves it to the server."""
    strong_model: str | None = None
    """Asked instead when the same candidate came back twice."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Sent with every request as it stands."""
    assist: Literal["none", "evidence"] = "none"
    """evidence: the planner's best candidates are shown to the model, priced and ranked."""
    graph: Literal["canonical", "own"] = "canonical"
    """own: the model is asked to write the graph out, instead of a strategy whose canonical graph is built."""


class LoopSettings(Frozen):
    """Where a run stops, and how it repairs."""

    max_attempts: int = Field(default=4, ge=1, le=32)
    """Proposals of a language model before the planner answers."""
    token_budget: int = Field(default=120_000, ge=1)
    """Input and output tokens over all attempts."""
    deadline_s: float = Field(default=180.0, gt=0)
    """For the whole run; the planner's fallback is asked before it ends."""
    same_candidate_limit: int = Field(default=3, ge=2)
    """Equal candidates after which nothing is hoped for any more."""
    patch_max_findings: int = Field(default=3, ge=0)
    """A JSON Patch is asked for when findings are at most this few."""
    patch_min_nodes: int = Field(default=20, ge=0)
    """And when the candidate's graph has at least this many nodes."""
    max_findings_shown: int = Field(default=12, ge=1)
    """Findings that a re-ask shows."""
    sections_shown: int = Field(default=6, ge=0, le=50)
    """Knowledge sections that a run reads and may cite."""
