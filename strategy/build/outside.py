"""Blocks outside the layers: the embedding, the boundary between stages, the head."""

from strategy.build.site import Site, Writer, complete
from strategy.dag import Block


def embed_block(site: Site) -> Block:
    """Token ids to hidden states; ranks that meet in the step's collectives agree on token counts first (DA006)."""
    w = Writer()
    inputs = [w.add("ingress", "ingress")]
    if site.coordinated:
        inputs.append("sync:" + w.add("sync", "step_sync", inputs, axis="dp"))
    out = w.add("embedding", "embedding", inputs, split="vocab")
    return w.block("embed", complete(w, site, out))


def boundary_block() -> Block:
    """Between consecutive stages."""
    w = Writer()
    send = w.add("send", "send", ["in"])
    return w.block("boundary", w.add("recv", "recv", [f"pipeline:{send}"]))


def head_block(site: Site) -> Block:
    """Final norm, the last position of each sequence, logits, the next token."""
    w = Writer()
    out = w.add("norm", "norm", ["in"], weight="final_norm")
    if site.megatron:
        out = w.add("spread", "all_gather", [out], axis="tp", dim="tokens")
    if site.phase == "prefill":
        out = w.add("last", "select_last", [out])
    if site.context:
        out = w.add("last_gather", "all_gather", [out], axis="cp", dim="tokens")
    gathered = site.coordinated and site.pool.lm_head == "gathered"
    out = _gathered_logits(w, out) if gathered else _own_logits(w, site, out)
    return w.block(f"head_{site.phase}", w.add("sample", "sample", [out]))


def _own_logits(w: Writer, site: Site, rows: str) -> str:
    """Each attention replica computes the logits of its own sequences."""
    logits = w.linear("lm_head", rows, "lm_head", "column")
    return w.add("gather", "all_gather", [logits], axis="tp", dim="vocab") if site.size("tp") > 1 else logits


def _gathered_logits(w: Writer, rows: str) -> str:
    """Every rank of the stage holds 1/W of the head and sees the rows of all replicas (DA008)."""
    gathered = w.add("rows", "all_gather", [rows], axis="dp", dim="tokens")
    logits = w.linear("lm_head", gathered, "lm_head", "column")
    whole = w.add("gather", "all_gather", [logits], axis="stage", dim="vocab")
    return w.add("own_rows", "chunk", [whole], axis="dp", dim="tokens")
