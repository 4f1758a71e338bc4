"""Which layers of a model are alike: what mixes their tokens and which FFN they have."""

from functools import lru_cache
from typing import Literal, NamedTuple

FfnKind = Literal["dense", "moe", "none"]
MixerKind = Literal["attention", "linear", "none"]
"""What mixes the tokens of a layer: attention over all of them, a recurrence that keeps a state of constant size, or nothing."""


class Halves(NamedTuple):
    """Which layers have what, as far as both halves of a layer go."""

    num_layers: int
    dense_layers: tuple[int, ...] | None
    """None when no layer has routed experts."""
    linear_layers: tuple[int, ...]
    no_mixer_layers: tuple[int, ...]
    no_ffn_layers: tuple[int, ...]


@lru_cache(maxsize=256)
def runs_of_layers(halves: Halves) -> tuple[tuple[int, int, MixerKind, FfnKind], ...]:
    """Runs of layers that are alike in both halves."""
    linear, without = frozenset(halves.linear_layers), frozenset(halves.no_mixer_layers)
    found: list[tuple[int, int, MixerKind, FfnKind]] = []
    for start, end, ffn in runs_of_ffns(halves):
        for layer in range(start, end):
            mixer: MixerKind = "linear" if layer in linear else "none" if layer in without else "attention"
            if found and found[-1][2:] == (mixer, ffn):
                found[-1] = (found[-1][0], layer + 1, mixer, ffn)
            else:
                found.append((layer, layer + 1, mixer, ffn))
    return tuple(found)


@lru_cache(maxsize=256)
def runs_of_ffns(halves: Halves) -> tuple[tuple[int, int, FfnKind], ...]:
    """Runs of layers whose FFN is of one kind."""
    dense = range(halves.num_layers) if halves.dense_layers is None else frozenset(halves.dense_layers)
    without = frozenset(halves.no_ffn_layers)
    runs: list[tuple[int, int, FfnKind]] = []
    for layer in range(halves.num_layers):
        kind: FfnKind = "none" if layer in without else "dense" if layer in dense else "moe"
        if runs and runs[-1][2] == kind:
            runs[-1] = (runs[-1][0], layer + 1, kind)
        else:
            runs.append((layer, layer + 1, kind))
    return tuple(runs)
