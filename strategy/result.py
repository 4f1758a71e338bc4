"""What people get: findings, the proof, the estimate, and the result that carries them."""

from typing import Any, Literal

from strategy.dag import Dag
from strategy.request import Request
from strategy.strategy import Strategy
from strategy.values import Frozen

Severity = Literal["error", "warning", "info"]
Status = Literal["valid", "infeasible", "needs_clarification", "rejected"]
Origin = Literal["planner", "llm", "planner_fallback"]


class Finding(Frozen):
    """One thing that is wrong (or worth knowing), where, and what to do about it."""

    code: str
    severity: Severity
    path: str
    """JSON pointer into the document."""
    message: str
    hint: str


class Departure(Frozen):
    """The first node whose value differs from the single-device reference."""

    node: str
    layer: int | None
    ranks: tuple[int, ...]
    max_abs_error: float
    detail: str = ""


class Proof(Frozen):
    """Outcome of running the DAG on virtual ranks against one device, on a scaled-down model of the same structure."""

    passed: bool
    max_abs_error: float
    ranks: int
    sequences: int
    steps: int
    """Decode steps after prefill."""
    departure: Departure | None = None


class Report(Frozen):
    """Everything the validator says about one DAG."""

    findings: tuple[Finding, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that reject the DAG."""
        return tuple(f for f in self.findings if f.severity == "error")


class MemoryGb(Frozen):
    """Memory of the fullest rank, in 10^9 bytes."""

    weights: float
    kv: float
    activations: float
    other: float
    total: float
    capacity: float


class OpShare(Frozen):
    """Time that one op takes in one forward pass of a phase."""

    phase: Literal["prefill", "decode"]
    op: str
    """Block and node, or the group a chart shows."""
    kind: Literal["compute", "memory", "communication", "other"]
    ms: float


class Estimate(Frozen):
    """Predicted performance at one operating point."""

    ttft_ms: float
    tpot_ms: float
    tokens_per_s_per_gpu: float
    """Output tokens."""
    requests_per_s: float
    gpus: int
    concurrency: int
    """Requests in flight over the whole deployment at this point."""
    memory_gb: MemoryGb
    max_concurrency: int
    """Requests whose KV fits at once."""
    bottleneck: str
    breakdown: tuple[OpShare, ...] = ()
    notes: tuple[str, ...] = ()
    """What widens the uncertainty: unverified facts, extrapolated constants."""


class PeerOp(Frozen):
    """Time of one op of another cost model in one pass of a phase."""

    phase: Literal["prefill", "decode"]
    op: str
    """Its own name."""
    ms: float
    source: str
    """Where the time comes from, in its words: `silicon` is a measured table, `empirical` a formula."""


class PeerEstimate(Frozen):
    """What another cost model says of a plan at one load, and what ours says of it there."""

    cost_backend: str
    version: str
    """Of the package that was asked."""
    tables: str
    """GPU, engine and version of the engine whose measurements were read."""
    ttft_ms: float
    tpot_ms: float
    tokens_per_s_per_gpu: float
    """Output tokens."""
    requests_per_s: float
    gpus: int
    concurrency: int
    """Requests in flight over the whole deployment, as it counts them."""
    memory_gb: float
    """Of the fullest rank, in 10^9 bytes."""
    breakdown: tuple[PeerOp, ...] = ()
    notes: tuple[str, ...] = ()
    """What it decided for itself, and what widens the uncertainty."""
    ours: Estimate | None = None
    """Our own estimate at the same load."""


class Alternative(Frozen):
    """A strategy that lost, and why."""

    strategy: Strategy
    summary: str
    estimate: Estimate
    reason: str


class Gain(Frozen):
    """What one change of the hardware or the precision would buy; it was planned."""

    change: dict[str, Any]
    """Merged into the request."""
    message: str


class Limit(Frozen):
    """A limit that no candidate meets."""

    name: str
    """memory, ttft_ms, tpot_ms, or a rule code."""
    required: float | None
    available: float | None
    unit: str
    message: str


class Change(Frozen):
    """A change of the request after which a plan exists; `verified` says that it was planned."""

    change: dict[str, Any]
    """Merged into the request."""
    message: str
    verified: bool


class Infeasible(Frozen):
    """Why nothing fits, and the nearest requests that do."""

    limits: tuple[Limit, ...]
    nearest: tuple[Change, ...] = ()


class Citation(Frozen):
    """A section of the knowledge base that was shown: `file.md#anchor`."""

    ref: str
    title: str = ""


class Usage(Frozen):
    """Tokens spent on a language model."""

    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 0
    estimated: bool = False


class Attempt(Frozen):
    """One proposal and its verdict."""

    proposer: str
    outcome: Literal["candidate", "unparsable", "truncated", "refused", "failed"]
    digest: str
    findings: tuple[Finding, ...] = ()
    usage: Usage = Usage()
    ms: float = 0.0


class Result(Frozen):
    """The answer to one request."""

    status: Status
    origin: Origin = "planner"
    request: Request | None
    """As understood; None when it could not be."""
    assumptions: tuple[str, ...] = ()
    strategy: Strategy | None = None
    dag: Dag | None = None
    report: Report = Report()
    proof: Proof | None = None
    estimate: Estimate | None = None
    alternatives: tuple[Alternative, ...] = ()
    gains: tuple[Gain, ...] = ()
    """What more GPUs, faster links or narrower weights would buy."""
    infeasible: Infeasible | None = None
    question: str | None = None
    """What is missing, when status is needs_clarification."""
    explanation: str = ""
    citations: tuple[Citation, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    usage: Usage = Usage()
