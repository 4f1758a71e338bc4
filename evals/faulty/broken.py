"""Broken proposals: answers that a model might give, each with one mistake that the validator rejects."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from agent.wire import encode
from evals.faulty.wrong import failing
from evals.mutate.judge import document_of
from evals.mutate.mutations import random_mutation
from evals.mutate.strategies import canonical, strategies
from knowledge.resolve import resolve
from strategy.build import build
from strategy.model import ModelSpec
from strategy.request import Problem, Request
from strategy.strategy import Strategy
from validators.nearest import nearest_fit
from validators.subject import Subject
from validators.validate import validate

Json = dict[str, Any]
SEED = 20
PLANS: tuple[tuple[str, str, int, Json], ...] = (
    ("llama-3.1-8b", "l40s", 1, {"attention": {"tp_size": 4}}),
    ("llama-3.1-70b", "h100-sxm", 2, {"attention": {"tp_size": 8}, "pp_size": 2, "stages": [[0, 40], [40, 80]]}),
    ("qwen3-32b", "h200-sxm", 1, {"attention": {"tp_size": 4}, "replicas": 2}),
    ("mixtral-8x7b", "a100-80g-sxm", 1, {"attention": {"tp_size": 4}, "experts": {"ep_size": 4}, "ep_lowering": "replicated"}),
    ("qwen3-30b-a3b", "h100-sxm", 1, {"attention": {"dp_size": 4}, "experts": {"ep_size": 4}}),
    ("qwen3-235b-a22b", "h200-sxm", 1, {"attention": {"tp_size": 4, "dp_size": 2}, "experts": {"ep_size": 8}}),
    ("gpt-oss-120b", "h100-sxm", 1, {"attention": {"tp_size": 4}, "experts": {"tp_size": 4}, "ep_lowering": "replicated"}),
    ("deepseek-v3", "h200-sxm", 2, {"attention": {"dp_size": 16}, "experts": {"ep_size": 16}}),
)  # fmt: skip
"""Legal plans over real models: model, GPU, hosts, and what differs from one rank."""
ABOUT_THE_REQUEST = frozenset({"EP007", "QZ006"})
"""Rules that no proposal can satisfy, since the model or the precision that was asked for breaks them."""
UNSAID = "/model"
"""An answer does not name its model, so it cannot name the wrong one."""
DEGREES = (0, 3, 5, 6, 7, 9, 12, 16, 24, 48)


@dataclass(frozen=True)
class Broken:
    """An answer with a mistake, the model it is about, and the problem it answers when there is one."""

    name: str
    answer: Json
    model: ModelSpec
    problem: Problem | None


def broken_proposals(mutants: int = 150) -> Iterator[Broken]:
    """Every failing example of a rule, mistakes in real models' strategies, and mutants of random DAGs."""
    yield from from_rules()
    yield from from_strategies()
    yield from from_mutants(mutants)


def from_rules() -> Iterator[Broken]:
    """The failing examples of the rules, as far as a model can write them."""
    for examples in failing().values():
        for index, (code, subject) in enumerate(examples):
            answer = encode(subject.dag)
            about_model = any(
                f.path == UNSAID for f in validate(subject.dag, subject.model, subject.problem, prove=False).errors
            )
            if code not in ABOUT_THE_REQUEST and not about_model and _can_be_met(subject):
                yield Broken(f"rule {code} {index}", answer, subject.model, subject.problem)


def _can_be_met(subject: Subject) -> bool:
    """Whether any pool would do for the problem, if there is one."""
    return subject.problem is None or bool(nearest_fit(subject, subject.dag.strategy.pools[0]))


def from_strategies() -> Iterator[Broken]:
    """One degree, range or choice of a real plan replaced by one that does not fit."""
    for name, gpu, hosts, pool in PLANS:
        asked = {"model": name, "cluster": {"gpu": gpu, "hosts": hosts}, "workload": {"isl": 2048, "osl": 256}}
        problem = resolve(Request.model_validate(asked)).problem
        layers = problem.model.num_layers
        strategy = Strategy.model_validate({"pools": [{"stages": [[0, layers]], **pool}]})
        whole = {**encode(build(problem.model, strategy)), "graph": None}
        for label, changed in _strategy_mistakes(whole, layers, Random(name)):  # noqa: S311 (repeatable)
            yield Broken(f"{name} {label}", changed, problem.model, problem)


def _strategy_mistakes(whole: Json, layers: int, rng: Random) -> Iterator[tuple[str, Json]]:
    for mesh, field in (
        ("attention", "tp_size"),
        ("attention", "dp_size"),
        ("experts", "ep_size"),
        ("experts", "tp_size"),
    ):
        for degree in rng.sample(DEGREES, 2):
            changed = copy.deepcopy(whole)
            pool = changed["strategy"]["pools"][0]
            if pool[mesh] is not None:
                pool[mesh][field] = degree
                yield f"{mesh}.{field}={degree}", changed
    fields: tuple[tuple[str, Any], ...] = (
        ("pp_size", 3), ("stages", [[0, layers - 1]]), ("stages", [[0, layers], [layers - 2, layers]]), ("stages", [[layers, 0]]),
        ("replicas", 64), ("sp_kind", "megatron"), ("sp_kind", "cp_ring"), ("dcp_size", 3), ("phases", ["prefill"]),
        ("ep_lowering", "all_to_all"), ("redundant_experts", 5), ("experts", {"dp_size": 1, "ep_size": 2, "tp_size": 1}),
    )  # fmt: skip
    for field, value in fields:
        changed = copy.deepcopy(whole)
        changed["strategy"]["pools"][0][field] = value
        yield f"{field}={value}", changed


def from_mutants(count: int) -> Iterator[Broken]:
    """Mutants of random legal DAGs that the validator rejects."""
    rng = Random(SEED)  # noqa: S311 (repeatable)
    yield from islice(_mutants(rng), count)


def _mutants(rng: Random) -> Iterator[Broken]:
    for index, (model, strategy) in enumerate(strategies(SEED)):
        dag = canonical(model, strategy)
        if dag is None or not validate(dag, model).valid:
            continue  # a fault of ours, which the fuzzer reports; no hint can mend it
        mutation = random_mutation(rng, document_of(dag), model)
        mutant = mutation.applied(document_of(dag))
        if mutant is not None and validate(mutant, model, prove=False).errors:
            yield Broken(f"mutant {index} {mutation.kind} {mutation.where}", encode(mutant), model, None)
