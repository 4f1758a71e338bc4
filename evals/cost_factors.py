"""Which fitted factors each node and each engine quantity takes, from the general to the particular, and what is expected of them.

A particular factor (one engine, one generation) multiplies a general one and is drawn towards 1, so what was measured little stays
near what was measured much, and hardware, models and engines never fitted get the general factors alone.
"""

import math
from typing import Any, NamedTuple

from evals.cost_rows import Point
from strategy.calibration import Factor, OpClass, kernels_of
from strategy.model import Dtype
from strategy.strategy import Phase

GENERATIONS: dict[str, tuple[str, ...]] = {"sm90": ("sm90",), "sm100": ("sm100", "sm103"), "sm103": ("sm100", "sm103")}
"""Architectures that share their factors."""


class Key(NamedTuple):
    """A factor without its value."""

    quantity: str
    op: str = "*"
    phase: str = "*"
    archs: tuple[str, ...] = ()
    dtype: str = "*"
    attention: str = "*"
    engine: str = "*"
    serving: str = "*"
    shape: str = "*"

    def factor(self, value: float) -> Factor:
        """The factor of this key."""
        return Factor.model_validate({**self._asdict(), "value": value})


def generation(point: Point) -> tuple[str, ...]:
    """Architectures that share factors with the point's GPU."""
    return GENERATIONS[point.problem.cluster.gpu.arch]


def node_keys(
    point: Point, phase: Phase, op: str, kernel: tuple[OpClass, Dtype], *, spread: bool
) -> dict[str, list[Key]]:
    """Factors of one node by quantity."""
    archs, engine, attention = generation(point), point.engine, point.problem.model.attention.kind
    name, dtype = kernel[0], kernels_of(kernel[1])
    own: dict[str, Any] = {"dtype": dtype, "archs": archs}
    if op in MESSAGE_OPS:
        kind = "all_reduce" if op == "all_reduce" else "exchange"
        message = Key("message_time", kind, phase)
        return {"message_time": [message, message._replace(archs=archs), message._replace(engine=engine)]}
    if op == "send":
        return {}
    compute, memory, launch = (Key(quantity, name) for quantity in ("compute_time", "memory_time", "launch_time"))
    if name == "gemm":
        return {
            "compute_time": [compute._replace(dtype=dtype), compute._replace(**own)],
            "memory_time": [memory, memory._replace(**own)],
            "launch_time": [launch, launch._replace(archs=archs)],
        }
    if name == "vector":
        return {"launch_time": [launch, launch._replace(engine=engine, archs=archs)]}
    compute, memory, launch = (key._replace(phase=phase) for key in (compute, memory, launch))
    if name == "attention":
        compute, memory, launch = (key._replace(attention=attention) for key in (compute, memory, launch))
        return {
            "compute_time": [compute, compute._replace(archs=archs), compute._replace(engine=engine, archs=archs)],
            "memory_time": [memory, memory._replace(archs=archs), memory._replace(engine=engine, archs=archs)],
            "launch_time": [launch, *([launch._replace(engine=engine, archs=archs)] if phase == "decode" else [])],
        }
    busiest = Key("imbalance", name, phase)
    return {
        "compute_time": [compute, compute._replace(**own)],
        "memory_time": [memory, memory._replace(**own), memory._replace(engine=engine, archs=archs)],
        "launch_time": [launch, *_fixed_times(launch, dtype, {"engine": engine, "archs": archs})],
        "imbalance": [busiest, busiest._replace(engine=engine, **own)] if spread else [],
    }


def _fixed_times(launch: Key, dtype: Dtype, own: dict[str, Any]) -> list[Key]:
    """Factors of what a layer's experts take whatever their load: how often inputs are quantised and moved depends on the type."""
    typed = launch._replace(dtype=dtype)
    return [launch._replace(**own), typed, typed._replace(**own)]


MESSAGE_OPS = frozenset({"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "step_sync"})


FRONT_BOUND = frozenset({("trtllm", "32x4096x32")})
"""Engine and model whose measurements show the front end: TTFT falls with the load as if a request always stood outside, and requests and
tokens a second have a bound that faster layouts do not lift. Left to the data elsewhere, these take up other errors: a fraction of a request
outside becomes seconds under long outputs."""


def engine_keys(point: Point) -> dict[str, list[Key]]:
    """Factors of every engine quantity.

    GPUs of one generation (`within`) differ in what their hosts do, and in how far engines have come when they are measured; so does what
    a prompt waits for from model to model on one of them (`hosted`).
    """
    archs, engine, serving = generation(point), point.engine, point.serving
    model = point.problem.model
    shape = {"shape": model.shape}
    typed = {**shape, "dtype": point.weights}
    here = {"archs": (point.problem.cluster.gpu.arch,)}
    within = [here] if len(archs) > 1 else []
    hosted = {**shape, **here}
    bound = (engine, model.shape) in FRONT_BOUND
    own: dict[str, list[dict[str, Any]]] = {
        "decode_step_ms": [{}, {"archs": archs}],
        "per_sequence_us": [{}],
        "decode_time": [{}, {"serving": serving}, shape, typed],
        "prefill_time": [{}, {"archs": archs}, *within, shape, typed],
        "prefill_pass_ms": [{}, {"archs": archs}],
        "request_ms": [{}, {"serving": serving}, {"archs": archs}, *within, shape, hosted],
        "burst": [{}, shape],
        "queue": [{}, {"serving": serving}, {"archs": archs}, shape, hosted],
        "queue_half": [{}, {"serving": serving}],
        "interference": [{}],
        "front_ms": [{}, {"serving": serving}, {"archs": archs}, *within, shape],
        "poll_steps": [{}, {"archs": archs}, *within, shape, hosted],
        "balance_steps": [{}, {"archs": archs}, shape],
        "relaxed_polls": [{}, {"archs": archs}],
        "standing": [shape] if bound else [],
        "admit_ms": [hosted] if bound else [],
        "stream_us": [hosted] if bound else [],
    }
    return {
        name: [Key(name), *(Key(name)._replace(engine=engine, **fields) for fields in chosen)]
        for name, chosen in own.items()
    }


_START = {
    "decode_step_ms": 0.25, "per_sequence_us": 20.0, "prefill_pass_ms": 2.0, "request_ms": 80.0, "burst": 0.1, "queue": 0.5,
    "queue_half": 4.0, "imbalance": 1.1, "front_ms": 0.5, "balance_steps": 5.0, "poll_steps": 0.5, "standing": 1e-4,
    "admit_ms": 0.3, "stream_us": 1.0,
}  # fmt: skip
"""Where general factors start; every other one starts at 1."""
_WIDTH = {
    "decode_step_ms": 0.6, "per_sequence_us": 0.6, "prefill_pass_ms": 0.6, "request_ms": 0.6, "queue": 0.6, "queue_half": 0.6, "front_ms": 1.0,
    "balance_steps": 1.2, "poll_steps": 0.6, "burst": 0.3, "launch_time": 0.24, "compute_time": 0.09, "memory_time": 0.09,
    "interference": 0.12, "prefill_time": 0.12, "decode_time": 0.06,
}  # fmt: skip
"""How far factors may move freely, as a logarithm; `USUAL_WIDTH` where not listed. Narrower ones fit worse, and foretell models and GPUs
that were held out better."""
SHAPE_WIDTH = {
    "decode_time": 0.025,
    "prefill_time": 0.1,
    "request_ms": 0.6,
    "queue": 0.6,
    "burst": 0.3,
    "front_ms": 0.8,
    "poll_steps": 0.8,
    "balance_steps": 0.4,
    "standing": 4.0,
}
"""How far a model on an engine may be from what its shapes say: it takes what is its own out of the factors that other models share."""
HOSTED_WIDTH = {"request_ms": 0.4, "queue": 0.4, "poll_steps": 0.5, "admit_ms": 4.0, "stream_us": 4.0}
"""How far a model on an engine and one architecture may be from what the model and the architecture say each for itself. Twice as wide
foretells other configurations no better and whole GPUs worse."""
FIRST_GUESS = {"standing": math.log(1000), "admit_ms": math.log(40), "stream_us": math.log(70)}
"""Where the search for a model's own factor begins when it is not at 1: from nothing there is no slope to follow."""
SERVING_WIDTH = 0.02
"""How far decode of pools that do nothing else may be from decode beside prefill."""
USUAL_WIDTH = 0.18
PARTICULAR = 0.7
"""Width of particular factors over that of general ones; `_PARTICULAR` where listed there."""
_PARTICULAR = {
    "poll_steps": 1.4,
    "relaxed_polls": 3.0,
    "balance_steps": 1.0,
    "launch_time": 1.4,
    "compute_time": 1.4,
    "memory_time": 1.4,
}


def first_guess(key: Key) -> float:
    """Logarithm of a factor over what is expected of it, where the search begins."""
    return FIRST_GUESS.get(key.quantity, 0.0) if key.shape != "*" else 0.0


def prior(key: Key) -> tuple[float, float]:
    """Expected logarithm of a factor and how far it may be from it."""
    if key.shape != "*":
        return 0.0, (HOSTED_WIDTH if key.archs else SHAPE_WIDTH)[key.quantity]
    if key.quantity == "decode_time" and key.serving != "*":
        return 0.0, SERVING_WIDTH
    general = not key.archs and key.engine == "*"
    width = _WIDTH.get(key.quantity, USUAL_WIDTH)
    if general:
        return math.log(_START.get(key.quantity, 1.0)), width
    return 0.0, width * _PARTICULAR.get(key.quantity, PARTICULAR)
