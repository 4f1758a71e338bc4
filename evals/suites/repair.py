"""Repair: broken proposals, mended by a mechanical model that reads nothing but findings. What it cannot mend is a hint to improve."""

from collections.abc import Sequence
from typing import Any

from evals.faulty.broken import Broken, broken_proposals
from evals.faulty.mend import REPAIRS, mend
from evals.suite import Sample, Score, Suite


def samples() -> Sequence[Sample]:
    """More than 400 broken proposals."""
    return [Sample(f"{number:03} {broken.name}", broken) for number, broken in enumerate(broken_proposals())]


async def solve(sample: Sample, _proposer: str) -> dict[str, Any]:
    """Mend one. The proposer is always the mechanical model."""
    assert isinstance(sample.input, Broken)
    mended = mend(sample.input)
    codes = [sorted({finding.code for finding in errors}) for errors in mended.errors]
    by = "the canonical graph" if mended.canonical else "the hints of rules"
    how = "not broken" if not codes[0] else f"{mended.repairs} repairs by {by}" if mended.repairs else "not mended"
    left = [f"{f.code} at {f.path}: {f.message} ({f.hint})" for f in mended.errors[-1]]
    return {"summary": how, "codes": codes, "repairs": mended.repairs, "canonical": mended.canonical, "left": left[:3]}


def converges(_sample: Sample, output: dict[str, Any]) -> Score:
    """No error is left after three repairs."""
    repairs = output["repairs"]
    return Score(
        "converges",
        float(repairs is not None and repairs <= REPAIRS),
        "; ".join([f"{repairs} repairs", *output["left"]]),
    )


REPAIR = Suite(
    name="repair", about="broken proposals and what findings say of them", samples=samples, solve=solve, scorers=(converges,)
)  # fmt: skip
