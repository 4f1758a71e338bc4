"""What the CLI and REST both offer, as plain functions over values. Imports stand inside: a command loads only what it runs."""

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast, get_args

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.json_schema import SkipJsonSchema

from api.errors import MissingResourceError, shape_error
from api.settings import Settings
from strategy.dag import Dag
from strategy.errors import InputError, UnknownNameError, UnplannableModelError
from strategy.model import ModelSpec
from strategy.request import Problem, Request
from strategy.result import Estimate, Finding, PeerEstimate, Proof, Result
from strategy.strategy import Strategy
from strategy.values import Frozen, Size

if TYPE_CHECKING:
    from agent.deps import Deps
    from agent.events import OnEvent
    from strategy.export.artifacts import Artifact, Costs, Plan
    from validators.claims import Claims

T = TypeVar("T")
Proposer = Literal["planner", "llm"]
Kind = Literal["models", "gpus"]
WARM_UP = {"model": "llama-3.1-8b", "cluster": {"gpu": "l40s", "gpus_per_host": 1}, "workload": {"isl": 128, "osl": 16}}
OWN_COSTS = "meshwright"
COST_BACKENDS = r"^(meshwright|aiconfigurator(@[A-Za-z0-9.+_-]+)?)$"
CostBackend = Annotated[str, Field(max_length=80, pattern=COST_BACKENDS)]
PRICED_STAGES = frozenset({"memory"})
"""Rule stages whose errors leave a price meaningful: a plan that does not fit still has a speed."""


class TextRequest(Frozen):
    """A request in words."""

    text: str = Field(min_length=1, max_length=1_000_000)


class Point(Frozen):
    """One thing to price: a strategy (its canonical DAG is built) or a DAG, for a request, at a concurrency.

    A strategy may leave open what the engine decides by itself (`knowledge.completion`).
    """

    request: Request
    strategy: Strategy | None = None
    dag: Dag | None = None
    concurrency: Size | None = None
    """Requests in flight over the whole deployment; default: what the request says, or as many as its limits allow."""
    cost_backend: CostBackend = OWN_COSTS
    """Whose price is wanted: our own, or `aiconfigurator` (where it is installed), with `@VERSION` for another version of the engine."""
    decided: SkipJsonSchema[tuple[str, ...]] = ()
    """What the strategy left open, in sentences; written here, not by callers."""

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, data: object) -> object:
        """Fill in what the strategy leaves open; what is not of the right shape is left to the fields' own errors."""
        return _complete(data)

    @model_validator(mode="after")
    def _one_plan(self) -> "Point":
        if (self.strategy is None) == (self.dag is None):
            raise ValueError("give strategy or dag, one of them")
        return self


class DagBody(Frozen):
    """A DAG and the request it answers, which lets rules about the cluster and the memory speak."""

    dag: Dag
    request: Request | None = None


class Judgement(Frozen):
    """What the validator says of a DAG."""

    valid: bool
    """No error finding; the proof passed, unless it was not asked for."""
    findings: tuple[Finding, ...]
    proof: Proof | None


class KnowledgeSection(Frozen):
    """A section of the knowledge base, as answers cite it."""

    ref: str
    """`file.md#anchor`"""
    title: str
    page: str
    """Title of the page that it is on."""
    text: str
    """Markdown."""


def fit(kind: type[T], data: object, what: str) -> T:
    """`data` as a value of `kind`. Raises `ShapeError` with a JSON pointer for every place that does not fit."""
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        raise shape_error(error, what, data) from None


def read_ask(data: object) -> Request | str:
    """A request as people send it: an object of the contract, `{"text": ...}`, or a string."""
    if isinstance(data, str):
        data = {"text": data}
    return fit(TextRequest, data, "the text request").text if is_text(data) else fit(Request, data, "the request")


def is_text(data: object) -> bool:
    """Whether a request is in words: a string, or an object with `text` and no `model`."""
    return isinstance(data, str) or (isinstance(data, dict) and "text" in data and "model" not in data)


def plan(
    ask: Request | str,
    settings: Settings,
    proposer: Proposer | None = None,
    *,
    replay: Path | None = None,
    on_event: "OnEvent | None" = None,
) -> Result:
    """The whole loop for one request, on this thread. A plan that cannot exist is a Result as well.

    `replay` is a recording to answer from in the place of a proposer.
    """
    from agent.graph import run_sync

    return run_sync(ask, dependencies(settings, proposer or settings.proposer, replay=replay), on_event=on_event)


def dependencies(settings: Settings, proposer: Proposer, *, replay: Path | None = None) -> "Deps":
    """What the loop needs from outside. Raises `InputError` when the LLM proposer is wanted and no endpoint is configured."""
    from agent.deps import default_deps

    if replay is not None:
        return default_deps(None, settings.loop, replay=replay, knowledge=settings.knowledge)
    if proposer == "llm" and settings.llm is None:
        hint = "set MESHWRIGHT_LLM__BASE_URL and MESHWRIGHT_LLM__MODEL, or use the planner"
        raise InputError("the LLM proposer has no endpoint to ask", hint=hint)
    llm = settings.llm if proposer == "llm" else None
    return default_deps(llm, settings.loop, record=settings.record, knowledge=settings.knowledge)


def proposer_named(name: str | None) -> tuple[Proposer | None, Path | None]:
    """A proposer as the CLI names it: `planner`, `llm`, or `recorded:FILE`, which is a recording to replay. Raises `InputError`.

    Only the CLI reads this: over REST nobody names files.
    """
    from agent.deps import RECORDED

    if name is None or name in get_args(Proposer):
        return cast("Proposer | None", name), None
    if name.startswith(RECORDED):
        return None, Path(name.removeprefix(RECORDED))
    raise InputError(f"there is no proposer `{name[:60]}`", hint="use planner, llm or recorded:FILE")


def warm(settings: Settings) -> None:
    """Plan something small, so that everything is loaded before the first request asks; the language model's client too, if there is one."""
    if settings.llm is not None:
        dependencies(settings, "llm")
    plan(fit(Request, WARM_UP, "the request"), settings, "planner")


def load_reader() -> None:
    """Compile the patterns that texts are read by."""
    for name in ("changes", "reading"):
        importlib.import_module(f"agent.understand.{name}")


def document(result: Result) -> dict[str, Any]:
    """A Result as JSON; its DAG in the compact form of a DAG document, where absent means default."""
    from strategy.export import document as dag_document

    full = result.model_dump(mode="json", exclude={"dag"})
    dag = None if result.dag is None else dag_document(result.dag)
    return {name: dag if name == "dag" else full[name] for name in Result.model_fields}


def judge(dag: Dag, problem: Problem | None, *, prove: bool = True, claims: "Claims | None" = None) -> Judgement:
    """The validator's verdict; with a problem also on the cluster, the memory and the engine, and on what stands beside the DAG."""
    from validators.claims import NO_CLAIMS
    from validators.validate import validate

    verdict = validate(dag, _model(dag, problem), problem=problem, prove=prove, claims=claims or NO_CLAIMS)
    return Judgement(
        valid=verdict.valid if prove else not verdict.errors, findings=verdict.findings, proof=verdict.proof
    )


def run_proof(dag: Dag) -> Proof:
    """The execution alone, without the rules."""
    from strategy.execute import prove

    return prove(dag, _model(dag, None))


def resolve_request(request: Request) -> Problem:
    """Names and defaults decided."""
    from knowledge.resolve import resolve

    return resolve(request).problem


def price(point: Point) -> Estimate | PeerEstimate:
    """The estimate of one point. Raises `InputError` when the strategy is not legal, since its price would mean nothing."""
    ours = _own_price(point)
    return ours if point.cost_backend == OWN_COSTS else _peer_price(point, ours)


def _own_price(point: Point) -> Estimate:
    from knowledge.calibration import calibration
    from strategy.build import build
    from strategy.cost import estimate

    problem = resolve_request(point.request)
    dag = point.dag if point.strategy is None else build(problem.model, point.strategy)
    assert dag is not None
    _refuse_illegal(dag, problem)
    found = estimate(dag, problem, calibration(), concurrency=point.concurrency)
    return found.model_copy(update={"notes": (*found.notes, *point.decided, *_precision_notes(point.request))})


def _peer_price(point: Point, ours: Estimate) -> PeerEstimate:
    """What another cost model says at the load of `ours`, which stands beside it (priced again if only a load near it can be asked for)."""
    from knowledge.aiconfigurator import installed, priced
    from knowledge.catalogue import find_gpu
    from knowledge.resolve import config_of

    package, problem = installed(), resolve_request(point.request)
    version = point.cost_backend.partition("@")[2] or None
    found = priced(
        package,
        problem,
        _layout(point, problem),
        find_gpu(point.request.cluster.gpu),
        ours.concurrency,
        names=problem.model.aliases,
        config=config_of(point.request.model),
        version=version,
    )
    if found.concurrency != ours.concurrency:
        ours = _own_price(point.model_copy(update={"concurrency": found.concurrency}))
    return found.model_copy(update={"ours": ours})


def _layout(point: Point, problem: Problem) -> Strategy:
    """The strategy of a point whose DAG is the canonical one. Raises `InputError` for a graph of one's own: others price layouts only."""
    from strategy.build import build

    if point.strategy is not None:
        return point.strategy
    assert point.dag is not None
    if build(problem.model, point.dag.strategy) != point.dag:
        raise InputError(
            "aiconfigurator prices layouts, and this DAG is not the usual one of its strategy",
            pointer="/dag",
            hint="give the strategy alone, or leave the cost backend out",
        )
    return point.dag.strategy


def _precision_notes(request: Request) -> tuple[str, ...]:
    """The cache's type where the request leaves it open, since prices depend on it."""
    if request.precision.kv is not None:
        return ()
    from knowledge.resolve import resolve

    return tuple(said for said in resolve(request).assumptions if said.startswith("KV cache"))


def _complete(data: object) -> object:
    """The data of a point with its strategy complete. Raises `InputError` when the request names a model that is not known."""
    from knowledge.completion import complete_strategy
    from knowledge.resolve import resolve_model

    if not isinstance(data, dict) or not isinstance(data.get("strategy"), dict):
        return data
    try:
        request = TypeAdapter(Request).validate_python(data.get("request"))
    except ValidationError:
        return data
    try:
        model = resolve_model(request.model)
    except InputError as error:
        error.pointer = "/request/model" + error.pointer
        raise
    strategy, decided = complete_strategy(data["strategy"], model, request.engine)
    return {**data, "strategy": strategy, "decided": decided}


def export(dag: Dag, to: str, request: Request | None = None) -> "tuple[Artifact, ...]":
    """The DAG in another format, as named files; the request tells precisions, lengths, hosts and times.

    Raises `InputError` for a format that does not exist, one that cannot express the plan, and (deployments, traces) a plan with errors.
    """
    from strategy.export import Plan, exporter

    target = exporter(to)
    problem = None if request is None else resolve_request(request)
    if target.judged:
        _refuse_illegal(dag, problem)
    costs = _costs(dag, problem) if target.priced and problem is not None else {}
    plan = Plan(dag, _model(dag, problem), problem, costs)
    files = target.write(plan)
    _refuse_other_plans(plan, to, files)
    return files


def _refuse_other_plans(plan: "Plan", to: str, files: "tuple[Artifact, ...]") -> None:
    """Deployments are read back: what would start something else than the plan is not handed out. Raises `InputError`."""
    from validators.artifacts import DEPLOYMENTS, check_artifacts

    if to not in DEPLOYMENTS:
        return
    experts = plan.model.moe.num_experts if plan.model.moe else None
    found = check_artifacts(DEPLOYMENTS[to], files, plan.strategy, engine=plan.engine, num_experts=experts)
    if found:
        told = "; ".join(f"{one.message} ({one.code})" for one in found)
        raise InputError(
            f"the {to} files would not start this plan: {told}",
            hint="this is a mistake of ours: please report the plan",
        )


def export_text(dag: Dag, to: str) -> str:
    """The DAG in a format that is one text file and needs nothing else."""
    return export(dag, to)[0].text


def existing_format(name: str) -> str:
    """A format named in the path of a URL. Raises `MissingResourceError`."""
    from strategy.export import exporter

    try:
        return exporter(name).name
    except UnknownNameError as error:
        raise MissingResourceError(str(error), hint=error.hint) from None


def _costs(dag: Dag, problem: Problem) -> "Costs":
    from knowledge.calibration import calibration
    from strategy.export.costs import node_costs

    return node_costs(dag, problem, calibration())


def rule_records() -> list[dict[str, Any]]:
    """Every rule as data, without its examples' DAGs."""
    from validators.registry import catalogue

    return [_rule_record(one) for one in catalogue().values()]


def rule_record(code: str) -> dict[str, Any]:
    """One rule as data. Raises `MissingResourceError`."""
    from validators.registry import catalogue

    found = catalogue().get(code.upper())
    if found is None:
        raise MissingResourceError(f"unknown rule `{code[:40]}`", hint=_nearest(code.upper(), catalogue()))
    return {**_rule_record(found), **_rule_examples(found)}


def catalog_rows(kind: Kind) -> list[dict[str, Any]]:
    """A summary of every model or GPU, its status (how far the record was checked) last."""
    from knowledge.catalogue import gpus, summaries

    if kind == "models":
        return [
            {
                "name": row.name,
                "title": row.title,
                "parameters_b": row.parameters_b,
                "active_b": row.active_parameters_b,
                "layers": row.num_layers,
                "attention": row.attention,
                "weights": row.weights,
                "status": row.status,
            }
            for row in summaries()
        ]
    fields = (
        "memory_gb",
        "memory_tb_per_s",
        "bf16_tflops",
        "fp8_tflops",
        "scale_up_gb_per_s",
        "scale_up_domain",
        "gpus_per_host",
    )
    return [
        {
            "key": gpu.key,
            "name": gpu.name,
            **{field: getattr(gpu, field) for field in fields},
            "status": gpu.provenance.status,
        }
        for gpu in gpus().values()
    ]


def catalog_record(kind: Kind, name: str) -> dict[str, Any]:
    """One model or GPU in full, by any of its names. Raises `MissingResourceError`."""
    from knowledge.catalogue import find_gpu, find_model

    try:
        found = find_model(name) if kind == "models" else find_gpu(name)
    except (UnknownNameError, UnplannableModelError) as error:
        raise MissingResourceError(str(error), hint=error.hint) from None
    return found.model_dump(mode="json")


def knowledge_section(settings: Settings, ref: str) -> KnowledgeSection:
    """A section of the knowledge base, as citations name it. Raises `MissingResourceError`."""
    from knowledge.retrieval import library

    pages = library(settings.knowledge)
    found = pages.get(ref)
    if found is None:
        raise MissingResourceError(
            f"the knowledge base has no section `{ref[:80]}`", hint=_nearest(ref[:200], pages.refs())
        )
    return KnowledgeSection(ref=found.ref, title=found.title, page=found.page, text=found.text)


def _model(dag: Dag, problem: Problem | None) -> ModelSpec:
    """The model of a request, or the one that a document names or carries."""
    from knowledge.resolve import resolve_model

    return resolve_model(dag.model) if problem is None else problem.model


def _rule_record(rule: Any) -> dict[str, Any]:
    names = ("code", "name", "severity", "stage", "summary", "message", "hint", "knowledge")
    lists = {"sources": list(rule.sources), "settles": list(rule.settles), "requires": sorted(rule.requires)}
    return {**{name: getattr(rule, name) for name in names}, **lists}


def _rule_examples(rule: Any) -> dict[str, Any]:
    return {"passes": [one.name for one in rule.passes()], "fails": [_failing(rule, one) for one in rule.fails()]}


def _failing(rule: Any, example: Any) -> str:
    """A failing example with the message that it gets."""
    found = rule.findings(example.make())
    return f"{example.name}: {found[0].message}" if found else str(example.name)


def _nearest(name: str, known: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {', '.join(f'`{one}`' for one in close)}?" if close else ""


def _refuse_illegal(dag: Dag, problem: Problem | None) -> None:
    from validators.registry import catalogue

    findings = judge(dag, problem, prove=False).findings
    known = catalogue()
    broken = [f for f in findings if f.severity == "error" and known[f.code].stage not in PRICED_STAGES]
    if broken:
        told = "; ".join(f"{finding.code} {finding.message}" for finding in broken[:3])
        raise InputError(f"the strategy is not legal: {told}", pointer=broken[0].path, hint=broken[0].hint)
