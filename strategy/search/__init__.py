"""The embedded planner: enumerate the legal space, price every candidate over a grid of loads, keep the best and say why.

`space` lists candidates, `points` prices them, `choose` orders them, `infeasible` explains why none is left.
"""

from strategy.search.plan import SearchResult, search
from strategy.search.points import Candidate

__all__ = ["Candidate", "SearchResult", "search"]
