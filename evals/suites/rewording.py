"""Rewording: a text of the understanding suite that is read right, written otherwise, is read the same. No labels are needed."""

from collections.abc import Sequence
from typing import Any

from agent.understand import Understanding, understand
from evals.rewordings import REWORDINGS
from evals.suite import Sample, Score, Suite
from evals.suites import understanding

Json = dict[str, Any]
EVERY = 100
"""Of so many texts that a rewording fits one is looked at."""


def samples() -> Sequence[Sample]:
    """For each way to reword, one in so many of the texts that lend themselves to it, another start for each way."""
    texts = list(enumerate(understanding.samples()))
    found = []
    for index, (way, rewrite) in enumerate(REWORDINGS.items()):
        fitting = [(n, one) for n, one in texts if rewrite(one.input) not in (None, one.input)]
        for number, sample in fitting[index % min(EVERY, len(fitting)) :: EVERY]:
            found.append(Sample(f"{number:04} {way}", {"text": sample.input, "way": way}, sample.target))
    return found


async def solve(sample: Sample, _proposer: str) -> Json:
    """Read a text as it stands and reworded."""
    reworded = REWORDINGS[sample.input["way"]](sample.input["text"]) or ""
    return compared(understand(sample.input["text"]), understand(reworded), sample.target)


def compared(first: Understanding, second: Understanding, target: Json) -> Json:
    """What the second reading has otherwise, where the first is right and the second is not right as well."""
    known, again = understanding.judged(first, target), understanding.judged(second, target)
    right = not again["wrong"] and not again["silent"]
    if known["wrong"] or known["silent"] or right:
        return {"summary": again["summary"], "changed": []}
    return {"summary": again["summary"], "changed": [*again["wrong"], *again["silent"]]}


def unchanged(_sample: Sample, output: Json) -> Score:
    """The reading is the same."""
    return Score("unchanged", float(not output["changed"]), "; ".join(output["changed"]))


REWORDING = Suite(
    name="rewording", about="texts written otherwise, read the same", samples=samples, solve=solve, scorers=(unchanged,)
)
