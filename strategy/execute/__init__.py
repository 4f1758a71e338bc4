"""The proof: a DAG document run on virtual ranks and compared with one device. It knows nothing of placements or rules."""

from strategy.execute.proof import prove

__all__ = ["prove"]
