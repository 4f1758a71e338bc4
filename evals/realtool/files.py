"""Every export of every plan, written out; what an engine cannot express is told with its reason."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from evals.realtool.plans import Planned
from evals.realtool.shell import calls
from strategy.errors import InputError
from strategy.export import FORMATS, Artifact, Plan
from strategy.export.readback import degrees_of, ray_configs, read_back
from validators.artifacts import DEPLOYMENTS, check_artifacts

_INDEXER = {"index_head_dim": 128, "index_n_heads": 64, "index_topk": 2048}
SPELLED: dict[str, dict[str, Any]] = {
    "deepseek_v32": _INDEXER,
    "glm_moe_dsa": _INDEXER,
    "mimo": {"model_type": "qwen2"},
    "step3p7": {"model_type": "step3p5", "architectures": ["Step3p5ForCausalLM"]},
}
"""What the engines need of some families beyond our records: sizes of the sparse-attention indexer, which no plan depends on; MiMo's class, a subclass of Qwen2's, comes with its checkpoint; of Step 3.7
they know the whole multimodal model, whose text part this is."""

WHOLE: dict[str, dict[str, Any]] = {
    "minimax_m3": {"model_type": "minimax_m3_vl", "architectures": ["MiniMaxM3SparseForConditionalGeneration"]},
}
"""Families that the engines know as a multimodal model only, of which our record is the text part."""


@dataclass
class Written:
    """One export of one plan."""

    plan: str
    target: str
    files: tuple[Artifact, ...] = ()
    refused: str = ""
    """Why the target cannot express the plan, and the nearest plan that it can."""
    differs: str = ""
    """How the files differ from the plan when they are read back."""


@dataclass
class Corpus:
    """All plans with their deployments."""

    plans: dict[str, Plan] = field(default_factory=dict)
    configs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The model's `config.json` of each plan."""
    exports: list[Written] = field(default_factory=list)
    answers: set[str] = field(default_factory=set)
    """Plans that are the planner's answers; the others were drawn by chance."""

    def of(self, target: str) -> Iterator[Written]:
        """Exports that can be written; traces and pictures one at a time, since all of them together would fill the memory."""
        if target in DEPLOYMENTS:
            made = (one for one in self.exports if one.target == target)
        else:
            made = (exported(name, plan, target) for name, plan in self.plans.items())
        return (one for one in made if one.files)

    def has(self, target: str) -> bool:
        """Whether there is anything to ask about; what cannot be written for the other plans is not known before they are."""
        if target in DEPLOYMENTS:
            return any(one.target == target and one.files for one in self.exports)
        return bool(self.plans)

    def count(self, target: str) -> Counter[str]:
        """How many were written, refused, and written unlike their plan."""
        told: Counter[str] = Counter()
        for one in self.exports:
            if one.target == target:
                told["refused" if one.refused else "differs" if one.differs else "equal"] += 1
        return told


def unserved(corpus: Corpus) -> list[Written]:
    """Answers of the planner that the very engine they were planned for cannot express: there should be none."""
    refused = (one for one in corpus.exports if one.refused and one.plan in corpus.answers)
    return [one for one in refused if _named_engine(corpus.plans[one.plan]) == one.target]


def _named_engine(plan: Plan) -> str | None:
    return plan.problem.engine if plan.problem else None


def export_all(planned: Iterable[Planned]) -> Corpus:
    """Write the deployments of every plan and read them back."""
    corpus = Corpus()
    for one in planned:
        corpus.plans[one.name], corpus.configs[one.name] = one.plan, one.config
        corpus.answers |= {one.name} if one.by_planner else set()
        corpus.exports += [exported(one.name, one.plan, target) for target in DEPLOYMENTS]
    return corpus


def exported(name: str, plan: Plan, target: str) -> Written:
    """One plan for one target."""
    try:
        files = FORMATS[target].write(plan)
    except InputError as error:
        return Written(name, target, refused=f"{error} | {error.hint}")
    return Written(name, target, files, differs=_differs(plan, target, files))


def _differs(plan: Plan, target: str, files: tuple[Artifact, ...]) -> str:
    if target not in DEPLOYMENTS:
        return ""
    experts = plan.model.moe.num_experts if plan.model.moe else None
    found = check_artifacts(DEPLOYMENTS[target], files, plan.strategy, engine=plan.engine, num_experts=experts)
    if found:
        return "; ".join(f"{one.code} {one.message}" for one in found)
    gpus = read_back(DEPLOYMENTS[target], files, num_experts=experts).gpus
    return "" if gpus == plan.strategy.world_size else f"{gpus} GPUs, the plan has {plan.strategy.world_size}"


# --- what drivers are given ---------------------------------------------------------------------------------------------------------


def model_folder(corpus: Corpus, plan: str, folder: Path) -> str:
    """A folder with the `config.json` of a plan's model and nothing else."""
    config = dict(corpus.configs[plan])
    text = json.dumps(config, sort_keys=True)
    place = folder / "models" / f"{corpus.plans[plan].slug}-{sha256(text.encode()).hexdigest()[:8]}"
    place.mkdir(parents=True, exist_ok=True)
    kind = config.get("model_type", "")
    if kind in WHOLE:
        config = {**WHOLE[kind], "text_config": config}
    config |= SPELLED.get(kind, {})
    (place / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(place.resolve())


def command_tasks(corpus: Corpus, target: str, folder: Path) -> list[dict[str, Any]]:
    """Every process that the scripts of `target` start, as a real shell starts them."""
    tasks = []
    for one in corpus.of(target):
        scripts = [file for file in one.files if file.name.startswith("host")]
        for file in scripts:
            for number, call in enumerate(calls(file.text, range(len(scripts)))):
                tasks.append(
                    {
                        "id": f"{one.plan}/{file.name}/{number}",
                        "plan": one.plan,
                        "model": model_folder(corpus, one.plan, folder),
                        "argv": list(call.argv),
                        "env": dict(call.env),
                    }
                )
    return tasks


def engine_tasks(corpus: Corpus, folder: Path) -> list[dict[str, Any]]:
    """The engine arguments of every Ray file."""
    tasks = []
    for one in corpus.of("ray"):
        for role, config in ray_configs(one.files[0].text):
            tasks.append(
                {
                    "id": f"{one.plan}/ray/{role}",
                    "plan": one.plan,
                    "model": model_folder(corpus, one.plan, folder),
                    "kwargs": config["engine_kwargs"],
                    "env": config.get("runtime_env", {}).get("env_vars", {}),
                    "replicas": int(config.get("deployment_config", {}).get("num_replicas", 1)),
                }
            )
    return tasks


def planned_degrees(plan: Plan) -> dict[str, dict[str, Any]]:
    """Degrees of each pool by role."""
    return {pool.role: asdict(pool) for pool in degrees_of(plan.strategy)}
