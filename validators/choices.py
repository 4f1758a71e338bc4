"""What rules offer instead: the legal values that hints name, under the request where there is one."""

from collections.abc import Sequence

from strategy.capabilities import Capabilities, capabilities
from strategy.legality import divisors, legal_tp_sizes
from strategy.request import Engine, Precision
from strategy.strategy import ExpertMesh, Pool
from validators.subject import Subject

MOST_SHOWN = 16


def listed(values: Sequence[object]) -> str:
    """Values as people list them: `1, 2, 4`."""
    text = ", ".join(str(value) for value in values[:MOST_SHOWN])
    return f"{text}, ..." if len(values) > MOST_SHOWN else text or "none"


def engine_of(subject: Subject) -> Engine | None:
    """The engine that the request names."""
    return None if subject.problem is None else subject.problem.engine


def engine_row(subject: Subject, code: str) -> Capabilities | None:
    """What is known of the request's engine, where rule `code` is about it."""
    engine = engine_of(subject)
    row = None if engine is None else capabilities(engine)
    return row if row is not None and code in row.rules else None


def precision_of(subject: Subject) -> Precision:
    """Precisions as asked for, or as the checkpoint ships when nobody asked."""
    if subject.problem is not None:
        return subject.problem.precision
    return Precision(weights=subject.model.checkpoint.weights, activations="bf16", kv="bf16")


def gpus_of(subject: Subject) -> int:
    """GPUs there are: those of the cluster, or those that the strategy uses when no cluster is known."""
    return subject.dag.strategy.world_size if subject.problem is None else subject.problem.cluster.gpus


def tp_choices(subject: Subject) -> str:
    """Attention tp sizes that the model allows on the GPUs there are."""
    return listed(legal_tp_sizes(subject.model, gpus_of(subject), engine=engine_of(subject)))


def split_choices(features: int, quantum: int, limit: int) -> str:
    """Ways to split `features` that leave multiples of `quantum` on each rank."""
    return listed([n for n in divisors(features, limit) if features // n % quantum == 0])


def divisor_choices(number: int, limit: int) -> str:
    """Divisors of `number`, none above `limit`."""
    return listed(divisors(number, limit))


def decodes(pool: Pool) -> bool:
    """Whether a pool serves decode."""
    return "decode" in pool.phases


def experts_of(pool: Pool) -> ExpertMesh:
    """The expert mesh, or one of ones where none is declared."""
    return pool.experts or ExpertMesh()
