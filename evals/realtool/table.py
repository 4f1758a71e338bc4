"""`REALTOOL.md`: what each tool said, in a dated table."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from evals.realtool.files import Corpus, unserved
from evals.realtool.judges import JUDGES, Judge, Said
from strategy.export.artifacts import DEFAULT_GPUS_PER_HOST
from strategy.export.shell import layers_of_stages
from strategy.strategy import Strategy
from validators.artifacts import DEPLOYMENTS

SHOWN = 5
NOT_COUNTED = (
    "Plans that a tool was not asked about since their files last changed are not counted. Slow tools see a sample (`PLANS=240`), in which all "
    "models take turns."
)
TRAITS: dict[str, Callable[[Strategy], bool]] = {
    "with attention DP": lambda s: any(pool.attention.dp_size > 1 for pool in s.pools),
    "with spread experts": lambda s: any(pool.experts is not None and pool.experts.ep_size > 1 for pool in s.pools),
    "with uneven stages": lambda s: any(len(set(layers_of_stages(pool))) > 1 for pool in s.pools),
    "with several replicas": lambda s: any(pool.replicas > 1 for pool in s.pools),
    "with pools of unequal replicas": lambda s: len({pool.replicas for pool in s.pools}) > 1,
    "on more than 8 GPUs": lambda s: s.world_size > DEFAULT_GPUS_PER_HOST,
}
"""What plans have that is easily written wrong."""


def table(corpus: Corpus, said: dict[str, tuple[str, Said]], seed: int) -> str:
    """The page as Markdown."""
    kinds = Counter("disaggregated" if plan.strategy.disaggregated else "colocated" for plan in corpus.plans.values())
    models = {plan.model.name for plan in corpus.plans.values()}
    gpus = {plan.gpu.key for plan in corpus.plans.values() if plan.gpu is not None}
    drawn = (
        f"{len(corpus.plans)} valid plans ({kinds['colocated']} colocated, {kinds['disaggregated']} disaggregated) of {len(models)} models "
        f"on {len(gpus)} kinds of accelerators: {len(corpus.answers)} answers of the planner, the others drawn from the search space"
    )
    strategies = [plan.strategy for plan in corpus.plans.values()]
    traits = ", ".join(f"{sum(map(holds, strategies))} {name}" for name, holds in TRAITS.items())
    lost = unserved(corpus)
    lines = [
        "# Exports before the real tools",
        "",
        "Written by `make realtool`; not part of the default tests.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, seed {seed}: {drawn}. Among them {traits}.",
        "",
        "## Read back by ourselves",
        "",
        "Degrees, stages, replicas and GPUs of every deployment against its plan; what a target cannot express is refused with the reason.",
        "",
        "| export | written | equal to the plan | refused |",
        "|---|---|---|---|",
        *(_own(corpus, target) for target in DEPLOYMENTS),
        "",
        f"Answers of the planner to a request that names an engine which that engine cannot express: {len(lost)}.",
        *(f"- `{one.plan}`: {one.refused}" for one in lost[:SHOWN]),
        "",
        "## The tools",
        "",
        NOT_COUNTED,
        "",
        "| tool | export | asked of it | plans | accepted | date |",
        "|---|---|---|---|---|---|",
        *(_row(judge, *said[judge.name]) for judge in JUDGES),
        "",
        *_refusals(said),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _own(corpus: Corpus, target: str) -> str:
    count = corpus.count(target)
    return f"| {target} | {count['equal'] + count['differs']} | {count['equal']} | {count['refused']} |"


def _row(judge: Judge, date: str, said: Said) -> str:
    if isinstance(said, str):
        return f"| {judge.title} | {judge.target} | {judge.asks} | – | {said} | {date} |"
    good = sum(one.accepted for one in said)
    return f"| {judge.title} | {judge.target} | {judge.asks} | {len(said)} | {good} | {date} |"


def _refusals(said: dict[str, tuple[str, Said]]) -> list[str]:
    """The first refusals of each tool."""
    lines: list[str] = []
    for judge in JUDGES:
        _, verdicts = said[judge.name]
        bad = [] if isinstance(verdicts, str) else [one for one in verdicts if not one.accepted]
        if bad:
            lines += [
                f"## Refused by {judge.title}",
                "",
                *(f"- `{one.plan}`: {one.detail[:300]}" for one in bad[:SHOWN]),
                "",
            ]
    return lines
