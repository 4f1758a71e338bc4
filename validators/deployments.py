"""A Ray Serve file beside a DAG: does it start what the plan says, in the Ray version it is for.

A deployment is a Serve config (`applications`), the arguments of a builder, or one `LLMConfig`; `ray_version` beside them says which Ray
reads it (2.60 unless stated), and `replica_ranks` in a config what a running group reports.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from strategy.strategy import Phase, Pool
from validators.registry import Hit
from validators.subject import Subject

DEFAULT_VERSION = (2, 60)
ROLES: tuple[tuple[str, Phase], ...] = (
    ("prefill_config", "prefill"),
    ("decode_config", "decode"),
    ("llm_config", "decode"),
)


class Config(NamedTuple):
    """One `LLMConfig` with its place, and the pool that it starts."""

    path: str
    data: dict[str, Any]
    pool: Pool

    def part(self, name: str) -> dict[str, Any]:
        """A nested mapping; empty where there is none."""
        found = self.data.get(name)
        return found if isinstance(found, dict) else {}

    @property
    def engine(self) -> dict[str, Any]:
        """Arguments of the engine."""
        return self.part("engine_kwargs")

    def degree(self, name: str) -> int:
        """A degree of the engine; 1 unless it is a positive integer."""
        value = self.engine.get(name, 1)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1

    @property
    def dp_size(self) -> int:
        """Attention replicas of one group."""
        return self.degree("data_parallel_size")

    @property
    def gpus_per_replica(self) -> int:
        """GPUs of one attention replica."""
        return self.degree("tensor_parallel_size") * self.degree("pipeline_parallel_size")

    @property
    def groups(self) -> int:
        """Replicas that `num_replicas` asks for, 1 unless stated."""
        value = self.part("deployment_config").get("num_replicas", 1)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1


def ray_version(subject: Subject) -> tuple[int, int]:
    """Major and minor version of Ray that the deployment is for."""
    text = str((subject.claims.deployment or {}).get("ray_version", ""))
    parts = text.split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 and all(p.isdigit() for p in parts[:2]) else DEFAULT_VERSION


def gangs(subject: Subject) -> bool:
    """Whether this Ray starts attention replicas as gangs, and counts gangs (2.60 and later)."""
    return ray_version(subject) >= DEFAULT_VERSION


def configs(subject: Subject) -> Iterator[Config]:
    """Every `LLMConfig` of the deployment, in order."""
    given = subject.claims.deployment
    if given is None:
        return
    applications = given.get("applications")
    if not isinstance(applications, list):
        yield from _of_arguments(subject, "/deployment", given)
        return
    for index, one in enumerate(applications[:100]):
        arguments = one.get("args") if isinstance(one, dict) else None
        if isinstance(arguments, dict):
            yield from _of_arguments(subject, f"/deployment/applications/{index}/args", arguments)


def _of_arguments(subject: Subject, path: str, given: dict[str, Any]) -> Iterator[Config]:
    if isinstance(given.get("engine_kwargs"), dict):
        yield Config(path, given, subject.dag.strategy.pool_for("decode"))
        return
    for key, phase in ROLES:
        if isinstance(given.get(key), dict):
            yield Config(f"{path}/{key}", given[key], subject.dag.strategy.pool_for(phase))
    several = given.get("llm_configs")
    for index, one in enumerate(several[:100] if isinstance(several, list) else ()):
        if isinstance(one, dict):
            yield Config(f"{path}/llm_configs/{index}", one, subject.dag.strategy.pool_for("decode"))


def gpus_per_host(subject: Subject) -> int:
    """GPUs of one host of the request; eight when nothing tells."""
    return 8 if subject.problem is None else subject.problem.cluster.gpus_per_host


def flag(config: Config, name: str) -> bool:
    """Whether an engine switch is on."""
    return bool(config.engine.get(name))


def hit(config: Config, key: str, what: str, repair: str) -> Hit:
    """A finding at a key of a config."""
    return Hit(f"{config.path}/{key}", what=what, repair=repair)
