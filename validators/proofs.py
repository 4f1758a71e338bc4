"""Proofs that were found before: what a run on virtual ranks shows depends on the DAG and its model alone, not on who asks or for which traffic."""

from hashlib import sha256

from strategy.dag import Dag
from strategy.execute import prove
from strategy.model import ModelSpec
from strategy.result import Proof

MAX_KNOWN = 1024
"""Proofs that are kept, each of some hundred bytes."""
_known: dict[bytes, Proof] = {}


def proof_of(dag: Dag, model: ModelSpec) -> Proof:
    """As `strategy.execute.prove`, executed once for equal DAGs of equal models; passed or not."""
    key = _digest(dag, model)
    if (known := _known.get(key)) is not None:
        return known
    proof = prove(dag, model)
    if len(_known) >= MAX_KNOWN:
        _known.clear()
    _known[key] = proof
    return proof


def _digest(dag: Dag, model: ModelSpec) -> bytes:
    """Both written out in full: documents are hostile, so nothing shorter may stand for them."""
    return sha256(dag.model_dump_json().encode() + b"\n" + model.model_dump_json().encode()).digest()
