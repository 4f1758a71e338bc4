"""Blocks in which attention and FFN stand side by side (Falcon, GPT-NeoX, Command R): one residual add, one sum over tp."""

from strategy.build.attention import gqa_output
from strategy.build.ffn import dense_mlp, gathered_mlp, is_gathered
from strategy.build.site import Site, Writer, complete, normed, spread
from strategy.dag import Block


def parallel_block(site: Site) -> Block:
    """Attention and FFN on the layer's input. Both are Partial over tp, so their sum is completed once, unless the FFN is split otherwise."""
    w = Writer()
    norm, own = _normed(w, site)
    attended = gqa_output(w, site, w.linear("qkv", norm, "qkv", "column"))
    if is_gathered(site):
        whole = complete(w, site, attended)
        ffn = gathered_mlp(w, site, own, after=[] if whole == attended else [whole])
        return w.block("parallel", w.add("add", "add", ["in", whole, ffn]))
    both = w.add("both", "add", [attended, dense_mlp(w, site, own)])
    return w.block("parallel", w.add("add", "add", ["in", complete(w, site, both)]))


def _normed(w: Writer, site: Site) -> tuple[str, str]:
    """What attention and FFN read: one norm, or two of a stream that is gathered once where tp splits it by tokens."""
    if site.model.parallel_block == "one_norm":
        both = normed(w, site, "attention_norm")
        return both, both
    stream = spread(w, site, "in")
    norm = w.add("norm", "norm", [stream], weight="attention_norm")
    return norm, w.add("ffn_norm", "norm", [stream], weight="ffn_norm")
