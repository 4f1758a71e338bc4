"""Understanding: texts to requests, field by field, without a model. A value that the text does not give must be an assumption."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from agent.understand import Understanding, understand
from evals.suite import Sample, Score, Suite, measure
from strategy.request import Request

Json = dict[str, Any]
DATA = Path(__file__).parent.parent / "data"
FILES = (
    "understanding_held.yaml",
    "understanding_adversarial.yaml",
    "understanding_fresh.yaml",
    "understanding_unseen.yaml",
    "understanding_unseen_2.yaml",
    "understanding_unseen_3.yaml",
    "understanding_unseen_4.yaml",
    "understanding_unseen_5.yaml",
    "understanding_unseen_6.yaml",
    "understanding_unseen_7.yaml",
    "understanding_unseen_8.yaml",
    "understanding_unseen_9.yaml",
    "understanding_unseen_10.yaml",
    "understanding_unseen_11.yaml",
    "understanding_unseen_12.yaml",
    "understanding_unseen_13.yaml",
    "understanding_unseen_14.yaml",
    "understanding_unseen_15.yaml",
    "understanding_unseen_16.yaml",
    "understanding_unseen_17.yaml",
    "understanding_unseen_18.yaml",
    "understanding_unseen_19.yaml",
    "understanding_unseen_20.yaml",
    "understanding_unseen_21.yaml",
    "understanding_unseen_22.yaml",
    "understanding_unseen_23.yaml",
    "understanding_unseen_24.yaml",
    "understanding_unseen_25.yaml",
    "understanding_unseen_26.yaml",
    "understanding_unseen_27.yaml",
    "understanding_unseen_28.yaml",
    "understanding_unseen_29.yaml",
    "understanding_unseen_30.yaml",
    "understanding_unseen_31.yaml",
    "understanding_unseen_32.yaml",
    "understanding_unseen_33.yaml",
    "understanding_unseen_34.yaml",
    "understanding_unseen_35.yaml",
    "understanding_unseen_36.yaml",
    "understanding_rivals.yaml",
)
ASSUMED = {
    "isl": "isl ",
    "osl": "osl ",
    "objective": "objective throughput",
    "ttft_ms": "ttft_ms: ",
    "tpot_ms": "tpot_ms: ",
}
"""How an assumption names the default of a field."""


def samples() -> Sequence[Sample]:
    """The texts of every file."""
    rows = [row for name in FILES for row in yaml.safe_load((DATA / name).read_text(encoding="utf-8"))]
    return [
        Sample(f"{number:03} {row['text'][:28]!r}", row["text"], {k: v for k, v in row.items() if k != "text"})
        for number, row in enumerate(rows)
    ]


async def solve(sample: Sample, _proposer: str) -> Json:
    """Understand one text."""
    return judged(understand(sample.input), sample.target)


def judged(found: Understanding, target: Json) -> Json:
    """Which fields are right, which are wrong, which were guessed without a word."""
    if "asks" in target or ("may_ask" in target and found.request is None):
        asked = found.question or ""
        about: list[str] = target.get("asks") or target["may_ask"]
        right = any(word.lower() in asked.lower() for word in about)
        return {"summary": asked or "no question", "fields": 1, "wrong": [] if right else ["no question about what is open"], "silent": []}  # fmt: skip
    if found.request is None:
        wrong = [f"{name}: asked instead" for name in target["says"]]
        return {"summary": found.question, "fields": len(wrong), "wrong": wrong, "silent": []}
    got, says, loose = flat(found.request), target["says"], target.get("loose", [])
    names = [name for name in dict.fromkeys([*says, *got]) if name not in loose and _stated(name, says, got)]
    wrong = [f"{n}: expected {says.get(n)}, got {got.get(n)}" for n in names if not _same(says.get(n), got.get(n))]
    defaults = [name for name in ASSUMED if name not in says and name not in loose]
    silent = [name for name in defaults if not _admitted(name, got, found.assumptions)]
    words = target.get("notes", [])
    if words and not any(word.lower() in note.lower() for word in words for note in found.assumptions):
        silent.append(f"nothing about {words}")
    told = ", ".join(f"{name}={value}" for name, value in got.items())
    return {"summary": told, "fields": len(names), "wrong": wrong, "silent": silent}


def flat(request: Request) -> Json:
    """The fields of a request that a text can give, without those at their defaults."""
    cluster, work = request.cluster, request.workload
    found: Json = {
        "model": request.model, "gpu": cluster.gpu, "gpus": (cluster.gpus_per_host or 0) * cluster.hosts, "hosts": cluster.hosts,
        "isl": work.isl, "osl": work.osl, "concurrency": work.concurrency, "request_rate": work.request_rate,
        "prefix_hit_ratio": work.prefix_hit_ratio or None, **request.slo.model_dump(), **request.precision.model_dump(),
        "objective": request.objective, "serving": None if request.serving == "auto" else request.serving, "engine": request.engine,
        "fix": request.constraints.fix.model_dump(exclude_none=True) or None, "forbid": sorted(request.constraints.forbid) or None,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def _stated(name: str, says: Json, got: Json) -> bool:
    """Whether a field counts: the text gives it, or the answer has it although nothing had to be there."""
    needed = {"model", "gpu", "gpus", "hosts"}
    if name in says:
        return True
    default = {"isl": 4096, "osl": 512, "objective": "throughput"}
    return name not in needed and got.get(name) != default.get(name)


def _same(expected: Any, got: Any) -> bool:
    """Whether a value is the expected one; a list of numbers names several that are right."""
    if isinstance(expected, list) and isinstance(got, int | float):
        return any(_same(one, got) for one in expected)
    if isinstance(expected, int | float) and isinstance(got, int | float):
        return abs(expected - got) <= 1e-3 * max(1.0, abs(expected))
    return (sorted(expected) == got) if isinstance(expected, list) else bool(expected == got)


def _admitted(name: str, got: Json, assumptions: Sequence[str]) -> bool:
    """Whether a value that the text does not give stands among the assumptions."""
    said = any(note.startswith(ASSUMED[name]) or f" {name}" in note for note in assumptions)
    return said or (name in ("ttft_ms", "tpot_ms") and name not in got and said)


def fields(_sample: Sample, output: Json) -> Score:
    """Every field is what the text says."""
    return Score("fields", float(not output["wrong"]), "; ".join(output["wrong"]))


def accuracy(_sample: Sample, output: Json) -> Score:
    """Share of fields that are right."""
    share = 1 - len(output["wrong"]) / max(1, output["fields"])
    return measure("field_accuracy", share, better="higher", detail=f"{output['fields']} fields")


def nothing_silent(_sample: Sample, output: Json) -> Score:
    """Every default is a listed assumption."""
    return Score("nothing_silent", float(not output["silent"]), f"silent: {', '.join(output['silent'])}")


UNDERSTANDING = Suite(
    name="understanding", about="texts to requests, field by field", samples=samples, solve=solve,
    scorers=(fields, accuracy, nothing_silent),
)  # fmt: skip
