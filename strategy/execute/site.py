"""Where a node runs: its ranks, its layer, its phase and step."""

from dataclasses import dataclass

import numpy as np

from strategy.execute.ranks import Ranks, whole
from strategy.execute.shards import Shards
from strategy.execute.values import Arrived, Floats, Ints, Routes, RunError, Tensor, Tokens, Value, kind_of
from strategy.model import ModelSpec
from strategy.strategy import Phase


@dataclass(frozen=True, slots=True)
class Site:
    """The surroundings of one execution of one block."""

    model: ModelSpec
    real_model: ModelSpec
    ranks: Ranks
    shards: Shards
    newest: Ints
    """[sequences]: the last position that this step brings."""
    phase: Phase
    step: int
    stage: int
    layer: int | None


def only_tensor(arrived: Arrived) -> Tensor:
    """The single tensor a node needs. Raises RunError when something else arrived."""
    if len(arrived.data) != 1:
        raise RunError(f"needs one data input, got {len(arrived.data)}")
    return as_tensor(arrived.data[0])


def as_tensor(value: Value) -> Tensor:
    """The value as a tensor. Raises RunError when it is something else."""
    if not isinstance(value, Tensor):
        raise RunError(f"needs a tensor, got {kind_of(value)}")
    return value


def only_tokens(arrived: Arrived) -> Tokens:
    """The single list of token ids a node needs."""
    if len(arrived.data) != 1 or not isinstance(arrived.data[0], Tokens):
        raise RunError(f"needs token ids, got {', '.join(map(kind_of, arrived.data)) or 'nothing'}")
    return arrived.data[0]


def hidden_and_routes(arrived: Arrived) -> tuple[Tensor, Routes]:
    """Hidden states and their routes, in either order, about the same rows."""
    tensors = [value for value in arrived.data if isinstance(value, Tensor)]
    routes = [value for value in arrived.data if isinstance(value, Routes)]
    if len(tensors) != 1 or len(routes) != 1 or len(arrived.data) != 2:
        got = ", ".join(map(kind_of, arrived.data)) or "nothing"
        raise RunError(f"needs hidden states and their routes, got {got}")
    same_rows(tensors[0].rows, routes[0].rows, "hidden states and routes")
    return tensors[0], routes[0]


def same_rows(first: Ints, second: Ints, what: str) -> None:
    """Raise RunError unless two values are about the same tokens in the same order on every rank."""
    if first.shape != second.shape:
        raise RunError(f"{what}: {first.shape[1]} rows meet {second.shape[1]} rows")
    if first is not second and (first != second).any():
        ranks = tuple(int(rank) for rank in (first != second).any(axis=1).nonzero()[0])
        raise RunError(f"{what} are about different tokens", ranks=ranks)


def needs_width(tensor: Tensor, width: int, what: str) -> None:
    """Raise RunError unless rows have `width` features."""
    if tensor.width != width:
        raise RunError(f"{what} takes {width} features, got {tensor.width}")


def activated(site: Site, x: Floats) -> Floats:
    """What an FFN does between its matrices: SwiGLU of gate and up, or of up alone what stands for any activation without a gate."""
    if not site.model.ffn_gated:
        return np.asarray(x / (1.0 + np.exp(-1.702 * x)))
    half = whole(x.shape[-1], 2, "features of gate and up")
    return np.asarray(x[..., :half] / (1.0 + np.exp(-x[..., :half])) * x[..., half:])
