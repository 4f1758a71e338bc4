"""What a follow-up changes of a request that is known: `what if I only have 4?`, `make it fp8`, `TTFT matters more`."""

import copy
import re
from typing import Any

from pydantic import ValidationError

from agent.understand.assemble import Names, catalogue_names
from agent.understand.choices import find_choices, find_objective, find_precision
from agent.understand.clusters import find_cluster_change
from agent.understand.constraints import find_constraints
from agent.understand.latency import find_slo
from agent.understand.models import find_model
from agent.understand.notes import Notes
from agent.understand.scan import Scan, compiled
from agent.understand.traffic import find_traffic
from agent.understand.wording import scanned
from strategy.errors import plainly
from strategy.request import Request
from strategy.values import Frozen

Json = dict[str, Any]

_DROP_LIMIT = compiled(
    r"\b(?:drop|remove|forget|ignore|relax|lift|without|no)\s+(?:the\s+|any\s+|all\s+)?(?P<which>ttft|tpot|latency|slo)s?(?:\s+(?:limits?|slo|sla|target|constraint|bound)s?)?\b"
)
_RELEASE = compiled(
    r"\b(?:allow|permit|free|release|unfix|drop|remove|lift)\s+(?:the\s+)?(?P<kind>tp|pp|ep|sp|dp|dcp|cp)(?:\s+(?:again|constraint|limit|restriction|ban))*\b"
    r"|\b(?P<kind2>tp|pp|ep|sp|dp|dcp|cp)\s+is\s+(?:ok(?:ay)?|fine|allowed)(?:\s+again)?\b"
)
_ANY_ENGINE = compiled(r"\b(?:any|no(?:\s+particular)?|forget\s+the|drop\s+the)\s+engine\b")
_SIZE = compiled(r"(?<![\w.])(?P<size>\d{1,4}b)\b(?:\s+(?:instead|model|version|variant|one))?")
_LOAD_FACTOR = compiled(r"\b(?P<by>double|twice|half|halve|triple|10x|ten\s+times)\s+(?:the\s+)?(?P<what>concurrency|load|traffic|users|context|prompts?|isl|answers?|osl)\b")  # fmt: skip
_FACTORS = {"double": 2.0, "twice": 2.0, "half": 0.5, "halve": 0.5, "triple": 3.0, "10x": 10.0, "ten times": 10.0}
_LOOSE_TP = {"tp": "tp_size", "pp": "pp_size", "ep": "ep_size", "dp": "replicas", "cp": "cp_size", "dcp": "dcp_size"}


class ChangedRequest(Frozen):
    """The changed request (None when the text changes nothing that is understood), what was assumed, and what has to be asked."""

    request: Request | None
    question: str | None = None
    assumptions: tuple[str, ...] = ()


def understand_change(text: str, request: Request, names: Names | None = None) -> ChangedRequest:
    """Read a follow-up against the request that it changes. What the text does not speak of stays as it was."""
    names = names or catalogue_names()
    notes = Notes()
    scan = scanned(text, names.models, names.gpus, notes)
    before = request.model_dump(mode="json", exclude_defaults=True)
    changed = copy.deepcopy(before)
    _released(scan, changed)
    _scaled(scan, changed, notes)
    _new_model(scan, names, notes, changed)
    _new_values(scan, names, notes, changed)
    told = tuple(note for note in notes.assumptions if ": no limit" not in note)
    if notes.questions:
        question = "; ".join(notes.questions.values())
        return ChangedRequest(request=None, question=question[0].upper() + question[1:], assumptions=told)
    if changed == before:
        return ChangedRequest(request=None, assumptions=told)
    try:
        return ChangedRequest(request=Request.model_validate(changed), assumptions=told)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return ChangedRequest(
            request=None, question=f"`{place}` cannot be that: {plainly(first['msg']).lower()}. What shall it be?"
        )


def _released(scan: Scan, request: Json) -> None:
    """Limits and constraints that are taken back."""
    for match in scan.take(_DROP_LIMIT):
        which = match["which"].lower()
        for name in ("ttft_ms", "tpot_ms"):
            if which in ("latency", "slo") or name.startswith(which):
                request.get("slo", {}).pop(name, None)
    for match in scan.take(_RELEASE):
        kind = (match["kind"] or match["kind2"]).lower()
        constraints = request.get("constraints", {})
        constraints["forbid"] = [k for k in constraints.get("forbid", []) if k != kind]
        constraints.get("fix", {}).pop(_LOOSE_TP.get(kind, ""), None)
        request["constraints"] = constraints
    if scan.take(_ANY_ENGINE):
        request.pop("engine", None)


def _scaled(scan: Scan, request: Json, notes: Notes) -> None:
    """`double the concurrency`, `half the context`."""
    load = request["workload"]
    for match in scan.take(_LOAD_FACTOR):
        what, factor = match["what"].lower(), _FACTORS[" ".join(match["by"].lower().split())]
        name = (
            "isl"
            if what.startswith(("context", "prompt", "isl"))
            else "osl"
            if what.startswith(("answer", "osl"))
            else ""
        )
        name = name or ("request_rate" if load.get("request_rate") else "concurrency")
        if load.get(name) is None:
            notes.ask("load", "how many requests are in flight now? The request names no concurrency")
            continue
        load[name] = load[name] * factor if name == "request_rate" else max(1, round(load[name] * factor))


def _new_model(scan: Scan, names: Names, notes: Notes, request: Json) -> None:
    """Another model by its name, or by its size within the family (`the 8B instead`)."""
    if isinstance(request["model"], str):
        for match in _SIZE.finditer(scan.text):
            sibling = re.sub(r"\d{1,4}b\b", match["size"].lower(), request["model"], count=1)
            if sibling in names.models.names and not _named(scan, match.start()):
                scan.eat(match.span())
                request["model"] = sibling
                notes.assume(f"`{match.group().strip()}` read as {sibling}")
                return
    found = find_model(scan, names.models, notes)
    if found is not None and found != request["model"]:
        request["model"] = found
        request.pop("precision", None)
        notes.assume("precision as the new checkpoint ships")


def _named(scan: Scan, start: int) -> bool:
    """Whether a name stands right before a size (`Qwen3 8B` is a model by itself)."""
    return re.search(r"[A-Za-z]\w*[\d.]+[- ]?$|(?:llama|qwen|gemma|mistral|glm|deepseek)\w*[- ]?$", scan.text[:start], re.IGNORECASE) is not None  # fmt: skip


def _new_values(scan: Scan, names: Names, notes: Notes, request: Json) -> None:
    """Everything else, by the extractors that read first requests."""
    request.update(find_choices(scan, notes))
    precision = find_precision(scan, notes)
    slo = find_slo(scan, notes)
    objective = find_objective(scan, notes)
    constraints = find_constraints(scan, notes)
    cluster = {"gpus_per_host": names.gpus_per_host.get(request["cluster"]["gpu"], 8), "hosts": 1, **request["cluster"]}
    moved = find_cluster_change(scan, names.gpus, names.gpus_per_host, notes, cluster)
    traffic = find_traffic(scan, notes)
    if moved is not None:
        request["cluster"] = moved
    if objective is not None:
        request["objective"] = objective
    if "concurrency" in traffic or "request_rate" in traffic:
        request["workload"] = {k: v for k, v in request["workload"].items() if k not in ("concurrency", "request_rate")}
    _merge(request, {"precision": precision, "slo": slo, "workload": traffic})
    _constrain(request, constraints)


def _constrain(request: Json, constraints: Json) -> None:
    """New constraints beside the old ones; a new degree replaces an old one and its ban."""
    if not constraints:
        return
    old = request.get("constraints", {})
    fix = {**old.get("fix", {}), **constraints.get("fix", {})}
    newly = {name.removesuffix("_size") for name in constraints.get("fix", {})}
    forbid = [*(k for k in old.get("forbid", []) if k not in newly), *constraints.get("forbid", [])]
    banned = {_LOOSE_TP.get(kind, "") for kind in constraints.get("forbid", [])}
    request["constraints"] = {
        "fix": {k: v for k, v in fix.items() if k not in banned},
        "forbid": list(dict.fromkeys(forbid)),
    }


def _merge(request: Json, parts: Json) -> None:
    for name, values in parts.items():
        if values:
            request[name] = {**request.get(name, {}), **values}
