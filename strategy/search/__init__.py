"""The embedded planner: enumerate the legal space, price every candidate over a grid of loads, keep the best and say why.

`space` lists pools, `disaggregated` pairs them, `points` prices candidates, `choose` orders them, `infeasible` explains why none is left,
`gains` says what a change of hardware would buy.
"""

from strategy.search.plan import SearchResult, search, what_if
from strategy.search.points import Candidate

__all__ = ["Candidate", "SearchResult", "search", "what_if"]
