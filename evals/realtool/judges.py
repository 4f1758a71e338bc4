"""Every real tool: what it is given, where it runs, and what it said."""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from evals.realtool import astra, trtllm
from evals.realtool.agree import disagreements
from evals.realtool.environments import Environment, UnavailableError, npm_file
from evals.realtool.files import Corpus, Written, command_tasks, engine_tasks
from evals.realtool.workers import Deployed, servers_of, worker_tasks

Tasks = list[dict[str, Any]]
MERMAID = "11.17.2"
MOST_TRACED_RANKS = 16
"""GPUs of a plan whose timeline is read packet by packet in Python."""


@dataclass(frozen=True)
class Paths:
    """Tools that are not on the package registries, and where their user has them; None means not available."""

    folder: Path
    """Environments and what passes between them and us."""
    astra_sim: str | None = None
    chakra_python: str | None = None
    llmd_schema: str | None = None
    mermaid: str | None = None


class Verdict(NamedTuple):
    """What a tool said to one export of one plan."""

    plan: str
    accepted: bool
    detail: str = ""


Said = Sequence[Verdict] | str
"""Verdicts, or why there are none."""


@dataclass(frozen=True)
class Judge:
    """A tool."""

    name: str
    title: str
    target: str
    """The export that it reads."""
    asks: str
    """What is asked of it, in a line."""
    judge: Callable[[Corpus, Paths], Iterable[Verdict]]
    """Raises `UnavailableError`."""


def _driven(environment: str, driver: str, tasks: Tasks, paths: Paths, name: str) -> list[dict[str, Any]]:
    """Verdicts of a driver, a task each."""
    env = Environment(environment, paths.folder)
    env.ready()
    return _drive(env, driver, tasks, paths, name)


def _drive(env: Environment, driver: str, tasks: Tasks, paths: Paths, name: str) -> list[dict[str, Any]]:
    given, out = paths.folder / "work" / f"{name}.tasks.json", paths.folder / "work" / f"{name}.verdicts.jsonl"
    given.parent.mkdir(parents=True, exist_ok=True)
    given.write_text(json.dumps(tasks), encoding="utf-8")
    out.unlink(missing_ok=True)
    env.drive(driver, given, out)
    said = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    silent = {task["id"] for task in tasks} - {one["id"] for one in said}
    return [*said, *({"id": one, "accepted": False, "detail": "the driver ended before it"} for one in sorted(silent))]


def _each(said: Iterable[dict[str, Any]]) -> Iterator[Verdict]:
    """Verdicts on files that are one a plan."""
    return (Verdict(one["id"], one["accepted"], one.get("detail", "")) for one in said)


def _agreeing(corpus: Corpus, tasks: Tasks, said: Iterable[dict[str, Any]]) -> Iterator[Verdict]:
    """One verdict a plan: every process accepted, and together they are the plan."""
    plan_of, found = {task["id"]: task["plan"] for task in tasks}, defaultdict[str, list[dict[str, Any]]](list)
    for one in said:
        found[plan_of[one["id"]]].append(one)
    for plan, ones in found.items():
        refused = [f"{one['id'].removeprefix(plan)}: {one['detail']}" for one in ones if not one["accepted"]]
        wrong = refused or disagreements(corpus.plans[plan], [one["facts"] for one in ones])
        yield Verdict(plan, not wrong, "; ".join(wrong))


def _vllm(corpus: Corpus, paths: Paths) -> Iterable[Verdict]:
    tasks = command_tasks(corpus, "vllm", paths.folder)
    return _agreeing(corpus, tasks, _driven("vllm", "vllm_serve", tasks, paths, "vllm"))


def _vllm_kwargs(corpus: Corpus, paths: Paths) -> Iterable[Verdict]:
    tasks = engine_tasks(corpus, paths.folder)
    replicas = {task["id"]: task["replicas"] for task in tasks}
    said = _driven("rayllm", "vllm_engine", tasks, paths, "ray-engine")
    for one in said:
        if one["accepted"]:
            one["facts"] |= {"gpus": one["facts"]["gpus"] * replicas[one["id"]], "servers": replicas[one["id"]]}
    return _agreeing(corpus, tasks, said)


def _sglang(corpus: Corpus, paths: Paths) -> Iterable[Verdict]:
    tasks = command_tasks(corpus, "sglang", paths.folder)
    return _agreeing(corpus, tasks, _driven("sglang", "sglang_server", tasks, paths, "sglang"))


def _workers(corpus: Corpus, paths: Paths, target: str, engine: str, driver: str) -> Iterable[Verdict]:
    """The servers inside a resource by their engine's parser: each as large as the resource has GPUs, and together the plan."""
    tasks, sections = worker_tasks(corpus, target, engine, paths.folder), servers_of(corpus, target, engine)
    plan_of = {task["id"]: task["plan"] for task in tasks}
    said = _driven(engine, driver, tasks, paths, f"{target}-{engine}")
    whole = [copy for one in said for copy in _replicas(one, sections.get((plan_of[one["id"]], _role(one))))]
    return _agreeing(corpus, tasks, whole)


def _role(said: dict[str, Any]) -> str:
    return str(said["id"].rsplit("/", 2)[1])


def _replicas(said: dict[str, Any], section: Deployed | None) -> Iterator[dict[str, Any]]:
    """What is said of one pod, once for every server of its section."""
    assert section is not None, said["id"]
    if not said["accepted"]:
        yield said
        return
    taken, asked = said["facts"]["gpus"], section.gpus // len(section.pods)
    if taken != asked:
        yield said | {"accepted": False, "detail": f"the engine takes {taken} GPUs of a pod, the resource has {asked}"}
        return
    for number in range(section.servers):
        met = said["facts"].get("server")
        yield said | {"facts": said["facts"] | {"server": met and f"{met}#{number}", "role": section.role}}


def _trtllm(corpus: Corpus, _paths: Paths) -> Iterator[Verdict]:
    for one in corpus.of("trtllm"):
        plan = corpus.plans[one.plan]
        try:
            wrong = disagreements(plan, trtllm.understood(plan, one.files))
        except (ValueError, KeyError) as error:
            wrong = [f"{type(error).__name__}: {error}"]
        yield Verdict(one.plan, not wrong, "; ".join(wrong))


def _texts(corpus: Corpus, target: str, **more: Any) -> Tasks:
    return [{"id": one.plan, "text": one.files[0].text, "kind": target, **more} for one in corpus.of(target)]


def _ray(corpus: Corpus, paths: Paths) -> Iterable[Verdict]:
    return _each(_driven("ray", "ray_serve", _texts(corpus, "ray"), paths, "ray"))


def _builders(corpus: Corpus, paths: Paths) -> Iterable[Verdict]:
    return _each(_driven("rayllm", "ray_builders", _texts(corpus, "ray"), paths, "rayllm"))


def _llmd(corpus: Corpus, paths: Paths) -> Iterable[Verdict]:
    schema = _given(paths.llmd_schema, "MESHWRIGHT_LLMD_SCHEMA names no values.schema.json of the modelservice chart")
    return _each(_driven("tools", "schema", _texts(corpus, "llm-d", schema=schema), paths, "llm-d"))


def _dynamo(corpus: Corpus, paths: Paths) -> Iterable[Verdict]:
    return _each(_driven("tools", "schema", _texts(corpus, "dynamo"), paths, "dynamo"))


def _dynamo_vllm(corpus: Corpus, paths: Paths) -> Iterable[Verdict]:
    return _workers(corpus, paths, "dynamo", "vllm", "vllm_serve")


def _dynamo_sglang(corpus: Corpus, paths: Paths) -> Iterable[Verdict]:
    return _workers(corpus, paths, "dynamo", "sglang", "sglang_server")


def _llmd_vllm(corpus: Corpus, paths: Paths) -> Iterable[Verdict]:
    return _workers(corpus, paths, "llm-d", "vllm", "vllm_serve")


def _astra(corpus: Corpus, paths: Paths) -> Iterator[Verdict]:
    binary = _given(paths.astra_sim, "MESHWRIGHT_ASTRA_SIM names no analytical ASTRA-sim binary")
    for one in corpus.of("chakra"):
        wrong = astra.replay(binary, corpus.plans[one.plan], one.files)
        yield Verdict(one.plan, not wrong, wrong)


def _chakra(corpus: Corpus, paths: Paths) -> Iterable[Verdict]:
    python = Path(_given(paths.chakra_python, "MESHWRIGHT_CHAKRA_PYTHON names no Python with MLCommons' chakra"))
    tasks: Tasks = []
    for one in corpus.of("chakra"):
        traces = [path for path in _put(paths, "chakra", one) if path.suffix == ".et"]
        tasks.append({"id": one.plan, "files": [str(path) for path in dict.fromkeys((traces[0], traces[-1]))]})
    given = Environment("chakra", paths.folder, interpreter=python)
    return _each(_drive(given, "chakra_reader", tasks, paths, "chakra"))


def _perfetto(corpus: Corpus, paths: Paths) -> Iterable[Verdict]:
    small = replace(
        corpus, plans={n: plan for n, plan in corpus.plans.items() if plan.strategy.world_size <= MOST_TRACED_RANKS}
    )
    tasks = [
        {"id": one.plan, "kind": "perfetto", "path": str(_put(paths, "pftrace", one)[0])} for one in small.of("pftrace")
    ]
    return _each(_driven("tools", "graphs", tasks, paths, "perfetto"))


def _put(paths: Paths, target: str, one: Written) -> list[Path]:
    """The files of an export on disk."""
    folder = paths.folder / "work" / target / one.plan
    folder.mkdir(parents=True, exist_ok=True)
    for file in one.files:
        (folder / file.name).write_bytes(file.data)
    return [folder / file.name for file in one.files]


def _dot(corpus: Corpus, paths: Paths) -> Iterable[Verdict]:
    if shutil.which("dot") is None:
        raise UnavailableError("Graphviz is not installed")
    return _each(_driven("tools", "graphs", _texts(corpus, "dot"), paths, "dot"))


def _graphml(corpus: Corpus, paths: Paths) -> Iterable[Verdict]:
    return _each(_driven("tools", "graphs", _texts(corpus, "graphml"), paths, "graphml"))


def _mermaid(corpus: Corpus, paths: Paths) -> Iterable[Verdict]:
    script = paths.mermaid or npm_file(paths.folder, "mermaid", MERMAID, "dist/mermaid.min.js")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise UnavailableError("no Chromium is installed")
    tasks = _texts(corpus, "mermaid", script=script, browser=browser)
    return _each(_driven("tools", "graphs", tasks, paths, "mermaid"))


def _given(path: str | None, why: str) -> str:
    if path is None or not Path(path).exists():
        raise UnavailableError(why)
    return str(Path(path).absolute())  # not resolved: the Python of an environment is a link


JUDGES = (
    Judge("vllm", "vLLM 0.33.0", "vllm", "each host's script run by bash, `vllm serve` up to its engine config; degrees, stages and GPUs equal", _vllm),
    Judge("sglang", "SGLang 0.5.23", "sglang", "each host's script run by bash, server arguments resolved and checked; degrees, stages and GPUs equal", _sglang),
    Judge("trtllm", "bash", "trtllm", "each host's script run, the YAML that it names read; degrees, stages, ranks and GPUs equal (TensorRT-LLM itself is not on the index)", _trtllm),
    Judge("ray", "Ray Serve 2.60.0", "ray", "`ServeDeploySchema`", _ray),
    Judge("ray-engine", "vLLM 0.29.0 in Ray Serve LLM 2.60.0", "ray", "`engine_kwargs` as an engine config; degrees, stages and GPUs equal", _vllm_kwargs),
    Judge("ray-builders", "Ray Serve LLM 2.60.0", "ray", "the named builder returns an application", _builders),
    Judge("dynamo", "Dynamo 1.6.1", "dynamo", "keys, kinds and programs all occur in the wheel's v1beta1 templates", _dynamo),
    Judge("dynamo-vllm", "vLLM 0.33.0 in Dynamo", "dynamo", "each worker's arguments as an engine config; degrees, stages and GPUs equal, also those of the resource", _dynamo_vllm),
    Judge("dynamo-sglang", "SGLang 0.5.23 in Dynamo", "dynamo", "each worker's arguments resolved and checked; degrees, stages and GPUs equal, also those of the resource", _dynamo_sglang),
    Judge("llm-d", "llm-d modelservice 0.4", "llm-d", "the chart's `values.schema.json`, no unknown key at the top", _llmd),
    Judge("llm-d-vllm", "vLLM 0.33.0 in llm-d", "llm-d", "what each pod starts, up to its engine config; degrees, stages and GPUs equal, also those of the values", _llmd_vllm),
    Judge("astra-sim", "ASTRA-sim, analytical", "chakra", "every rank prints finished (a plan on one GPU beside an idle one: it simulates two at least)", _astra),
    Judge("chakra", "MLCommons Chakra 1.0.0", "chakra", "its jsonizer reads the first and the last rank", _chakra),
    Judge("perfetto", "Perfetto 0.59.1", "pftrace", f"its protobuf schema reads every packet, as many begins as ends (plans of at most {MOST_TRACED_RANKS} GPUs)", _perfetto),
    Judge("dot", "Graphviz", "dot", "`dot -Tsvg`", _dot),
    Judge("graphml", "networkx", "graphml", "`read_graphml`", _graphml),
    Judge("mermaid", f"Mermaid {MERMAID} in Chromium", "mermaid", "`mermaid.render` with default limits", _mermaid),
)  # fmt: skip
