"""What the kernels of a recurrence compute and move for one token, over all heads: each kind by the way in which engines run it.

Decode takes one step of every state. Prefill multiplies chunks of a prompt as matrices and passes the state from chunk to chunk.
"""

from strategy.model import GatedDeltaNet, Mamba2, RecurrentMixer

DELTA_CHUNK_TOKENS = 64
"""Tokens of one chunk of the gated delta rule (flash-linear-attention)."""


def step_flops(net: RecurrentMixer) -> int:
    """Operations on one element of a state for one token.

    The delta rule decays a matrix, reads it twice and adds an outer product; a state space decays it, adds one and reads it once.
    """
    return 5 if isinstance(net, Mamba2) else 7


def scan_flops(net: RecurrentMixer) -> int:
    """Operations of a prefill on one token, but for the convolution."""
    return _scan_flops_of_mamba(net) if isinstance(net, Mamba2) else _scan_flops_of_delta(net)


def _scan_flops_of_delta(net: GatedDeltaNet) -> int:
    """A chunk multiplies K with K, Q with K, both with the state, and the results with V."""
    d, v = net.key_head_dim, net.value_head_dim
    return net.num_value_heads * (2 * DELTA_CHUNK_TOKENS * (3 * d + 2 * v) + 6 * d * v)


def _scan_flops_of_mamba(net: Mamba2) -> int:
    """A chunk multiplies C with B once for each group and the result with x for each head; x enters the state, and C reads it."""
    inside = 2 * net.chunk_tokens * (net.num_groups * net.state_size + net.num_heads * net.head_dim)
    return inside + 4 * net.state_elements


def scanned_elements(net: RecurrentMixer) -> float:
    """Elements of 16 bits that the kernels of a prefill move for one token, the convolution and the gated norm included."""
    return _scanned_of_mamba(net) if isinstance(net, Mamba2) else _scanned_of_delta(net)


def _scanned_of_delta(net: GatedDeltaNet) -> float:
    """Convolution, norms of Q and K, and the passes over each head.

    The passes (K K^T, its triangular inverse, the W and U of the chunk, the states, the output, the gated norm) read K four times, Q
    once, and write and read W, U, the new values and the output; triangles are fp32 once and 16 bits once, states stand between chunks.
    """
    d, v, chunk = net.key_head_dim, net.value_head_dim, DELTA_CHUNK_TOKENS
    of_head = 7 * d + 9 * v + 6 * chunk + 2 * d * v / chunk
    shared = 2 * net.conv_channels + 4 * net.num_key_heads * d
    return net.num_value_heads * of_head + shared


def _scanned_of_mamba(net: Mamba2) -> float:
    """Convolution, and the passes over groups and heads (C B^T, the state of each chunk, the passing on, the output, the gated norm).

    B and C are read twice by groups, C B^T is written and read in fp32, x is read twice, the output written, read with its gate and
    written again; fp32 states of the chunks are written and read twice, and four fp32 numbers of each head say how it decays.
    """
    of_head = 6 * net.head_dim + 8 * net.state_size * net.head_dim / net.chunk_tokens + 8
    of_group = 4 * net.state_size + 4 * net.chunk_tokens
    return 2 * net.conv_channels + net.num_groups * of_group + net.num_heads * of_head
