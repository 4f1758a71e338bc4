"""What an export is: the plan that goes in, the named files that come out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from strategy.dag import Dag
from strategy.hardware import GpuSpec, Vendor
from strategy.model import ModelSpec
from strategy.request import Engine, Precision, Problem
from strategy.strategy import Phase, Strategy

DEFAULT_GPUS_PER_HOST = 8
"""Hosts of a plan that comes without a request."""


class Artifact(NamedTuple):
    """One file of an export."""

    name: str
    content: str | bytes
    media_type: str

    @property
    def text(self) -> str:
        """Content of a text file. Raises `TypeError` for a binary one."""
        if isinstance(self.content, bytes):
            raise TypeError(f"{self.name} is binary")
        return self.content

    @property
    def data(self) -> bytes:
        """Content as bytes."""
        return self.content if isinstance(self.content, bytes) else self.content.encode()


class NodeKey(NamedTuple):
    """A template node of the document."""

    phase: Phase
    block: str
    node: str


class NodeCost(NamedTuple):
    """What one run of a node takes on one rank, the mean over the layers it stands for."""

    micros: float | None = None
    """None when nobody priced it."""
    message_bytes: float = 0.0
    """The collective's logical tensor; for send and all_to_all what one rank sends."""
    flops: float = 0.0
    moved_bytes: float = 0.0
    output_bytes: float = 0.0
    """The tensor that leaves the node on one rank."""


Costs = Mapping[NodeKey, NodeCost]


@dataclass(frozen=True)
class Plan:
    """A DAG to be exported, with what else is known about it."""

    dag: Dag
    model: ModelSpec
    problem: Problem | None = None
    """The request that it answers; None leaves precision and lengths to the engine and assumes hosts of eight GPUs."""
    costs: Costs = field(default_factory=dict)
    """Times and sizes of nodes, for traces; see `strategy.export.costs`."""

    @property
    def strategy(self) -> Strategy:
        """The strategy that the DAG carries."""
        return self.dag.strategy

    @property
    def gpus_per_host(self) -> int:
        """GPUs that a host offers."""
        return self.problem.cluster.gpus_per_host if self.problem else DEFAULT_GPUS_PER_HOST

    @property
    def hosts(self) -> int | None:
        """Hosts of the cluster; None when no request says."""
        return self.problem.cluster.hosts if self.problem else None

    @property
    def gpu(self) -> GpuSpec | None:
        """The accelerator; None when no request says."""
        return self.problem.cluster.gpu if self.problem else None

    @property
    def vendor(self) -> Vendor:
        """Who makes the accelerator; NVIDIA when no request says."""
        return "nvidia" if self.gpu is None else self.gpu.vendor

    @property
    def amd(self) -> bool:
        """Whether the accelerator is an AMD one, which some engines address by other names."""
        return self.vendor == "amd"

    @property
    def precision(self) -> Precision | None:
        """Precisions as decided; None when no request says."""
        return self.problem.precision if self.problem else None

    @property
    def max_model_len(self) -> int | None:
        """Tokens one sequence may reach; None when no request says."""
        return self.problem.max_model_len if self.problem else None

    @cached_property
    def model_id(self) -> str:
        """What engines load: the first alias that is a Hugging Face id, else the model's name."""
        return next((alias for alias in self.model.aliases if "/" in alias), self.model.name)

    @cached_property
    def slug(self) -> str:
        """The model's name as file systems and Kubernetes take it."""
        kept = "".join(c if c.isalnum() else "-" for c in self.model.name.lower())
        return "-".join(part for part in kept.split("-") if part)[:50] or "model"

    @property
    def engine(self) -> Engine:
        """The engine inside an orchestrator: the request's, else vLLM."""
        named = self.problem.engine if self.problem else None
        return named or "vllm"


@dataclass(frozen=True)
class Exporter:
    """A target of `export`."""

    name: str
    summary: str
    write: Callable[[Plan], tuple[Artifact, ...]]
    """Raises `InputError` where the target cannot express the plan."""
    judged: bool = True
    """Whether only a plan without errors can be written."""
    priced: bool = False
    """Whether it shows times, so that `Plan.costs` should be filled."""
