"""The extractors in their order, and the request that their findings make."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ValidationError

from agent.understand.asides import pass_over, soft
from agent.understand.choices import find_choices, find_objective, find_precision
from agent.understand.clusters import find_cluster, kind_of, named_gpus
from agent.understand.constraints import PER_HOST, find_constraints, find_gpu_limit
from agent.understand.latency import find_slo
from agent.understand.learned import Opinion, opinion_of
from agent.understand.leftovers import note_leftovers
from agent.understand.mentions import page_of
from agent.understand.models import NICKNAMES, find_model, named_models
from agent.understand.names import Vocabulary, squash
from agent.understand.notes import Notes
from agent.understand.opinions import hear, meant, size_heard
from agent.understand.rivals import restored, without_rivals
from agent.understand.scan import COUNT, MAX_CHARACTERS, SPAN, Scan, compiled, count_of
from agent.understand.settle import second_look, settle
from agent.understand.standing import UNDECIDED, Place, standing, weight
from agent.understand.traffic import cached_part, find_workload, past_traffic, whole_load
from agent.understand.wording import scanned
from knowledge import catalogue
from strategy.errors import plainly
from strategy.request import Request
from strategy.values import Frozen

EXAMPLE = "Llama 3.1 70B on 2x8 H100, 4k in, 500 out, TTFT under 1 s, TPOT under 40 ms"


class Understanding(Frozen):
    """A request with what was assumed on the way, or the one question that has to be answered first."""

    request: Request | None
    question: str | None
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Names:
    """What texts may name: models and GPUs of the catalogue, and how many GPUs a host usually has."""

    models: Vocabulary
    gpus: Vocabulary
    gpus_per_host: dict[str, int]


@cache
def catalogue_names() -> Names:
    """Names of the shipped catalogue."""
    models = {
        key: {form for name in names for form in (name, name.rpartition("/")[2])}
        for key, names in catalogue.model_names().items()
    }
    known = {squash(name) for names in models.values() for name in names} | {squash(key) for key in models}
    for nickname, start in NICKNAMES.items():
        key = min((k for k in models if k.startswith(start)), key=len, default=None)
        if key is not None and squash(nickname) not in known:
            models[key].add(nickname)
    gpus, aliases = catalogue.gpus(), catalogue.gpu_aliases()
    names = {
        key: (gpu.name, *(a for a in aliases[key] if not a.startswith(("dgx", "hgx")))) for key, gpu in gpus.items()
    }
    return Names(Vocabulary(models), Vocabulary(names), {key: gpu.gpus_per_host for key, gpu in gpus.items()})


def understand(text: str, names: Names | None = None) -> Understanding:
    """Read a request from running text. Text is data: nothing in it is carried out, and any length ends in bounded time.

    Every value that the text does not give is an assumption; a missing model or cluster, an unknown name and a
    contradiction end in a question.
    """
    document, notes = read_document(text, names or catalogue_names())
    return concluded(document, notes)


def read_document(text: str, names: Names) -> tuple[dict[str, Any], Notes]:
    """What the extractors find, as a `Request` document with holes, and what they have to say about it."""
    notes = Notes()
    scan = scanned(text, names.models, names.gpus, notes)
    if len(text) > MAX_CHARACTERS:
        notes.assume(f"only the first {MAX_CHARACTERS:,} of {len(text):,} characters were read")
    document = _document(scan, names, notes)
    note_leftovers(scan, notes)
    return document, notes


def concluded(document: dict[str, Any], notes: Notes) -> Understanding:
    """The request that a document makes, or the question about what it lacks."""
    question = _question(notes, document)
    if question is not None:
        return Understanding(request=None, question=question, assumptions=tuple(notes.assumptions))
    try:
        request = Request.model_validate(document)
    except ValidationError as error:
        return Understanding(request=None, question=_out_of_range(error), assumptions=tuple(notes.assumptions))
    return Understanding(request=request, question=None, assumptions=tuple(notes.assumptions))


def _document(scan: Scan, names: Names, notes: Notes) -> dict[str, Any]:
    """Run the extractors; an earlier one keeps its words from the later ones (`8x7B` is no cluster, `4k` no degree)."""
    opinion = opinion_of(page_of(scan.original, names.models, names.gpus))
    _stand_by(scan, names, notes, opinion)
    model = find_model(scan, names.models, notes)
    ideas = soft(scan.original)
    per_host = [m for m in scan.take(PER_HOST) if not any(a <= m.start() < b for a, b in ideas)]
    look = second_look(scan, names.gpus)
    notes.named = named_places(scan, names)
    pass_over(scan, notes.named, notes)
    choices = find_choices(scan, notes)
    precision = find_precision(scan, notes)
    slo = find_slo(scan, notes)
    limit = find_gpu_limit(scan, notes)
    objective = find_objective(scan, notes)
    constraints = find_constraints(scan, notes)
    kinds = [kind_of(m, scan, names.gpus) for m in named_gpus(scan, names.gpus)]
    cluster = find_cluster(
        scan, names.gpus, names.gpus_per_host, notes, look.readings, wants_count=objective == "min_gpus"
    ) or size_heard(kinds, names.gpus_per_host, opinion, notes)
    workload = find_workload(scan, notes)
    if objective is None:
        notes.assume("objective throughput: the text names none", default="objective")
    _fix(constraints, {**_on_each_host(per_host, cluster, scan, notes), **_limited(limit, cluster, scan, notes)})
    document = {
        "model": model,
        "cluster": cluster,
        "workload": workload,
        "slo": slo,
        "precision": precision,
        "objective": objective or "throughput",
        "constraints": constraints,
        **choices,
    }
    settle(document, look, scan, notes)
    hear(document, opinion, scan, notes)
    past_traffic(scan, workload, notes)
    whole_load(scan, cluster, workload, notes)
    cached_part(scan, workload, notes)
    return document


def _fix(constraints: dict[str, object], degrees: dict[str, int]) -> None:
    """Put degrees among those that are fixed."""
    fixed = constraints.get("fix", {})
    assert isinstance(fixed, dict)
    if degrees:
        constraints["fix"] = {**fixed, **degrees}


def _on_each_host(
    said: list[re.Match[str]], cluster: dict[str, object] | None, scan: Scan, notes: Notes
) -> dict[str, int]:
    """Replicas that are told for each host, in all."""
    if not said:
        return {}
    replicas = count_of(said[0]["n"]) * (int(str(cluster["hosts"])) if cluster else 1)
    notes.assume(f"`{scan.words(said[0].span())}`: {replicas} replicas")
    return {"replicas": replicas}


def _limited(limit: dict[str, int], cluster: dict[str, object] | None, scan: Scan, notes: Notes) -> dict[str, int]:
    """How many GPUs are to be used: whole hosts are the cluster then, and all of it is no limit."""
    if limit and cluster and _in_whole_hosts(limit["gpus"], cluster, scan):
        cluster["hosts"] = limit["gpus"] // int(str(cluster["gpus_per_host"]))
        notes.assume(f"planned for {cluster['hosts']} whole hosts: {limit['gpus']} GPUs")
        return {}
    return {} if cluster and limit and _is_all(limit["gpus"], cluster, scan) else limit


def _stand_by(scan: Scan, names: Names, notes: Notes, opinion: Opinion) -> None:
    """Leave the model and the GPU that the text stands by, where it names several."""
    models, gpus = _places(scan, names)
    undecided = UNDECIDED.search(scan.original) is not None
    if undecided:
        models, gpus = _passed_over(scan, models), _passed_over(scan, gpus)
    if (not models or not gpus) and not undecided:
        models, gpus = _brought_back(scan, names, notes, models, gpus)
    model, gpu = standing(scan.original, models), standing(scan.original, gpus)
    if model is None and models:
        model = meant(scan.original, models, "model", opinion, notes)
    if gpu is None and gpus:
        gpu = meant(scan.original, gpus, "gpu", opinion, notes)
    if model is not None:
        without_rivals(scan, model, models, [p.span for p in gpus if gpu in (None, p.key)], notes)
    if gpu is not None:
        without_rivals(scan, gpu, gpus, [p.span for p in models if model in (None, p.key)], notes)


def _places(scan: Scan, names: Names) -> tuple[list[Place], list[Place]]:
    """Where the text names one model, and where one GPU."""
    models = [Place(m.keys[0], m.span) for m in named_models(scan, names.models) if len(m.keys) == 1]
    return models, [Place(kind_of(m, scan, names.gpus), m.span) for m in named_gpus(scan, names.gpus)]


def _passed_over(scan: Scan, places: list[Place]) -> list[Place]:
    """Places of the one name that is only told of, eaten, where the text says that the choice is open."""
    if len({p.key for p in places}) != 1 or any(weight(scan.original, p.span) >= 0 for p in places):
        return places
    for place in places:
        scan.eat(place.span)
    return []


def _brought_back(
    scan: Scan, names: Names, notes: Notes, models: list[Place], gpus: list[Place]
) -> tuple[list[Place], list[Place]]:
    """The places with those of what only a sentence told of others or of before names: better that than none."""
    whole = Scan("")
    whole.text = whole.original = scan.original
    places = _places(whole, names)
    for left, found in zip((models, gpus), places, strict=True):
        key = standing(scan.original, found) if not left else None
        for place in [p for p in found if p.key == key][:1]:
            restored(scan, place, notes, alone=found is not places[1])
    return _places(scan, names)


_TO_USE = compiled(
    r"\b(?:use|using|take|occupy|run\s+on|dedicate|spare|exactly|(?:must|should|have\s+to|are\s+to|need\s+to)\s+(?:be\s+)?(?:used|busy|work|occupied|loaded|filled))\b"
)


_WHOLE_HOSTS = compiled(
    rf"(?:\bi\.e\.|\bthat\s+is|\bmeaning|\bso|\(|,)[\s,]*(?:exactly\s+|just\s+)?(?P<n>{COUNT})\s+(?:full|whole|complete|entire)\s+(?:node|host|server|machine|box)"
)


def _in_whole_hosts(gpus: int, cluster: dict[str, Any], scan: Scan) -> bool:
    """Whether the text says that the GPUs to use are so many whole hosts (`8 of the 16, i.e. one full node`)."""
    said = _WHOLE_HOSTS.search(scan.original)
    return said is not None and count_of(said["n"]) * cluster["gpus_per_host"] == gpus


def _is_all(gpus: int, cluster: dict[str, Any], scan: Scan) -> bool:
    """Whether a number of GPUs is just how many there are (`only 4 GPUs available`), and no word says to use so many."""
    return gpus == cluster["gpus_per_host"] * cluster["hosts"] and _TO_USE.search(scan.original) is None


def named_places(scan: Scan, names: Names) -> list[SPAN]:
    """Where a text names models and GPUs."""
    gpus = [m.span for m in names.gpus.mentions(scan.text) if any(c.isdigit() for c in scan.words(m.span))]
    return [*gpus, *(m.span for m in names.models.mentions(scan.original))]


def _question(notes: Notes, document: dict[str, Any]) -> str | None:
    """One question for everything that is missing or contradicts itself; None when the request can be made."""
    missing = []
    if document["model"] is None and "model" not in notes.questions:
        missing.append("the model (for example `Llama 3.1 70B` or `deepseek-ai/DeepSeek-V3`)")
    if document["cluster"] is None and not {"gpu", "cluster", "GPUs", "hosts", "GPUs per host", "racks"} & set(
        notes.questions
    ):
        missing.append("the GPUs (for example `8x H100` or `2x8 H200`)")
    parts = [f"please name {' and '.join(missing)}"] if missing else []
    parts += list(notes.questions.values())
    if not parts:
        return None
    text = "; ".join(parts)
    stop = "" if text.endswith("?") else "."
    tail = f"{stop} A whole request reads: `{EXAMPLE}`" if missing else ""
    return text[0].upper() + text[1:] + tail


def _out_of_range(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"`{place}` cannot be {str(first['input'])[:40]}: {plainly(first['msg']).lower()}. What shall it be?"
