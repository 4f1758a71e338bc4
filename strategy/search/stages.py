"""Layers over pipeline stages: as engines do it by default, and so that no stage holds much more than the others."""

from functools import lru_cache
from itertools import accumulate

from strategy.legality import even_stages
from strategy.model import ModelSpec, WeightClass
from strategy.parameters import ffn_parameters, mixer_parameters
from strategy.quantisation import weight_bytes_per_element
from strategy.request import Precision, Problem
from strategy.strategy import LayerRange

WORTH_NAMING = 0.02
"""Share by which the heaviest stage must become lighter: an engine is told of stages that are not its own."""


def better_stages(problem: Problem, pp_size: int) -> tuple[LayerRange, ...] | None:
    """Balanced stages where dense layers, a large head or a remainder make the engine's own uneven in bytes; else None."""
    usual = even_stages(problem.model.num_layers, pp_size, problem.engine)
    weights = layer_bytes(problem.model, problem.precision)
    balanced = balanced_stages(weights, pp_size)
    gained = 1 - _heaviest(weights, balanced) / _heaviest(weights, usual)
    return balanced if gained >= WORTH_NAMING else None


def layer_bytes(model: ModelSpec, precision: Precision) -> tuple[float, ...]:
    """Bytes of the weights that a decode step may read of each layer, the head counted with the last."""

    def size(counts: dict[WeightClass, int]) -> float:
        return sum(count * weight_bytes_per_element(model, precision, name) for name, count in counts.items())

    found = []
    for start, end, mixer, ffn in model.alike_runs():
        view = model.at(start)
        each = size(mixer_parameters(view, mixer)) + size(ffn_parameters(view, ffn))
        found += [each] * (end - start)
    found[-1] += model.vocab_size * model.hidden_size * weight_bytes_per_element(model, precision, "lm_head")
    return tuple(found)


def _heaviest(weights: tuple[float, ...], stages: tuple[LayerRange, ...]) -> float:
    return max(sum(weights[start:end]) for start, end in stages)


@lru_cache(maxsize=1024)
def balanced_stages(weights: tuple[float, ...], pp_size: int) -> tuple[LayerRange, ...]:
    """Contiguous stages, none empty, whose heaviest is as light as can be."""
    sums = [0.0, *accumulate(weights)]
    low, high = max(weights), sums[-1]
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _fits(sums, pp_size, middle) else (middle, high)
    return _filled(sums, pp_size, high)


def _fits(sums: list[float], pp_size: int, most: float) -> bool:
    start, end = _filled(sums, pp_size, most)[-1]
    return sums[end] - sums[start] <= most


def _filled(sums: list[float], pp_size: int, most: float) -> tuple[LayerRange, ...]:
    """Stages filled up to `most` from the front, a layer at least for each that is left; the last takes the rest."""
    stages: list[LayerRange] = []
    start, layers = 0, len(sums) - 1
    for left in range(pp_size - 1, 0, -1):
        end = start + 1
        while end < layers - left and sums[end + 1] - sums[start] <= most:
            end += 1
        stages.append((start, end))
        start = end
    return (*stages, (start, layers))
