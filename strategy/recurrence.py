"""What the kernels of a recurrence compute and move for one token, over all heads: each kind by the way in which engines run it.

Decode takes one step of every state. Prefill multiplies chunks of a prompt as matrices and passes the state from chunk to chunk.
"""

import numpy as np
from numpy.typing import NDArray

from strategy.model import GatedDeltaNet, Mamba2, RecurrentMixer

Amount = float | NDArray[np.float64]
"""A number, or one for each column of a walk (`strategy.work`)."""
DELTA_CHUNK_TOKENS = 64
"""Tokens of one chunk of the gated delta rule (flash-linear-attention)."""


def step_flops(net: RecurrentMixer) -> int:
    """Operations on one element of a state for one token.

    The delta rule decays a matrix, reads it twice and adds an outer product; a state space decays it, adds one and reads it once.
    """
    return 5 if isinstance(net, Mamba2) else 7


def on_rank(net: RecurrentMixer, features: int, ranks: Amount) -> Amount:
    """Of `features` that hold what ranks repeat, those of one rank."""
    return (features - net.repeated) / ranks + net.repeated


def scan_flops(net: RecurrentMixer, ranks: Amount) -> Amount:
    """Operations of a prefill on one token on one of `ranks`, but for the convolution."""
    return _scan_flops_of_mamba(net, ranks) if isinstance(net, Mamba2) else _scan_flops_of_delta(net) / ranks


def _scan_flops_of_delta(net: GatedDeltaNet) -> int:
    """A chunk multiplies K with K, Q with K, both with the state, and the results with V."""
    d, v = net.key_head_dim, net.value_head_dim
    return net.num_value_heads * (2 * DELTA_CHUNK_TOKENS * (3 * d + 2 * v) + 6 * d * v)


def _scan_flops_of_mamba(net: Mamba2, ranks: Amount) -> Amount:
    """A chunk multiplies C with B once for each group and the result with x for each head; x enters the state, and C reads it."""
    groups = 1 if net.repeated else net.num_groups / ranks
    heads = net.num_heads / ranks
    inside = 2 * net.chunk_tokens * (groups * net.state_size + heads * net.head_dim)
    return inside + 4 * (net.state_elements / ranks)


def scanned_elements(net: RecurrentMixer, ranks: Amount) -> Amount:
    """Elements of 16 bits that the kernels of a prefill move for one token on one rank, the convolution and the gated norm included."""
    return _scanned_of_mamba(net, ranks) if isinstance(net, Mamba2) else _scanned_of_delta(net) / ranks


def _scanned_of_delta(net: GatedDeltaNet) -> float:
    """Convolution, norms of Q and K, and the passes over each head.

    The passes (K K^T, its triangular inverse, the W and U of the chunk, the states, the output, the gated norm) read K four times, Q
    once, and write and read W, U, the new values and the output; triangles are fp32 once and 16 bits once, states stand between chunks.
    """
    d, v, chunk = net.key_head_dim, net.value_head_dim, DELTA_CHUNK_TOKENS
    of_head = 7 * d + 9 * v + 6 * chunk + 2 * d * v / chunk
    shared = 2 * net.conv_channels + 4 * net.num_key_heads * d
    return net.num_value_heads * of_head + shared


def _scanned_of_mamba(net: Mamba2, ranks: Amount) -> Amount:
    """Convolution, and the passes over groups and heads (C B^T, the state of each chunk, the passing on, the output, the gated norm).

    B and C are read twice by groups, C B^T is written and read in fp32, x is read twice, the output written, read with its gate and
    written again; fp32 states of the chunks are written and read twice, and four fp32 numbers of each head say how it decays.
    """
    of_head = 6 * net.head_dim + 8 * net.state_size * net.head_dim / net.chunk_tokens + 8
    of_group = 4 * net.state_size + 4 * net.chunk_tokens
    groups = 1 if net.repeated else net.num_groups / ranks
    return 2 * on_rank(net, net.conv_channels, ranks) + groups * of_group + net.num_heads / ranks * of_head
