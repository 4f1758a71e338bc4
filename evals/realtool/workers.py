"""The servers inside Kubernetes resources: what each container of a Dynamo or llm-d file starts, as a task for its engine's own parser."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from evals.realtool.files import Corpus, model_folder
from evals.realtool.shell import calls

LEADER = "10.0.0.1"
LAUNCHERS = {"vllm": ["vllm", "serve"], "sglang": ["python3", "-m", "sglang.launch_server"]}
OF_DYNAMO = {"vllm": {"--disaggregation-mode"}, "sglang": set[str]()}
"""Flags that Dynamo's worker takes for itself, each with a value; the others go to the engine."""


class Container(NamedTuple):
    """What one pod of a server runs."""

    argv: tuple[str, ...]
    env: Mapping[str, str]


class Deployed(NamedTuple):
    """The servers of one section of a file, all alike."""

    role: str
    servers: int
    gpus: int
    """Of one server, as the resource asks for them."""
    pods: tuple[Container, ...]
    """Of one server."""


def dynamo_servers(text: str) -> tuple[str, list[Deployed]]:
    """The engine inside a Dynamo resource, and its workers."""
    spec = yaml.safe_load(text)["spec"]
    workers = [one for one in spec["components"] if one["type"] != "frontend"]
    return spec["backendFramework"], [_dynamo_worker(spec["backendFramework"], one) for one in workers]


def _dynamo_worker(engine: str, component: Mapping[str, Any]) -> Deployed:
    container = component["podTemplate"]["spec"]["containers"][0]
    args = _without(container["args"], OF_DYNAMO.get(engine, set()))
    if engine == "vllm":
        args = [args[1], *args[2:]]  # --model comes first, which `vllm serve` takes by its place
    env = {entry["name"]: entry["value"] for entry in container.get("env", ())}
    gpus = int(container["resources"]["limits"]["nvidia.com/gpu"])
    nodes = component.get("multinode", {}).get("nodeCount", 1)
    role = {"worker": "serve"}.get(component["type"], component["type"])
    pod = Container((*LAUNCHERS.get(engine, ()), *args), env)
    return Deployed(role, component["replicas"], nodes * gpus, (pod,))


def _without(args: list[str], dropped: set[str]) -> list[str]:
    values = {k + 1 for k, word in enumerate(args) if word in dropped}
    return [word for k, word in enumerate(args) if word not in dropped and k not in values]


def llmd_servers(text: str) -> tuple[str, list[Deployed]]:
    """vLLM, and the sections of the chart's values."""
    values = yaml.safe_load(text)
    named = [("prefill", "prefill"), ("decode", "decode")]
    if not values["prefill"]["create"]:
        named = [("serve", "decode")]
    return "vllm", [_llmd_section(role, values["modelArtifacts"]["name"], values[key]) for role, key in named]


def _llmd_section(role: str, model: str, section: Mapping[str, Any]) -> Deployed:
    sizes, container = section["parallelism"], section["containers"][0]
    limits = container.get("resources", {}).get("limits", {})
    of_pod = next(map(int, limits.values()), sizes["tensor"] * sizes["dataLocal"])
    workers = sizes["workers"]
    if container["modelCommand"] == "custom":
        pods = tuple(_in_group(container["args"][0], index, sizes["dataLocal"]) for index in range(workers))
    else:
        counted = ("--tensor-parallel-size", str(sizes["tensor"]), "--data-parallel-size", str(sizes["data"]))
        pods = (Container(("vllm", "serve", model, *counted, *container["args"]), {}),)
    return Deployed(role, section["replicas"], workers * of_pod, pods)


def _in_group(script: str, index: int, local: int) -> Container:
    """One worker of a LeaderWorkerSet, its script run by a shell with what the chart sets there."""
    given = {"LWS_LEADER_ADDRESS": LEADER, "LWS_WORKER_INDEX": str(index), "DP_SIZE_LOCAL": str(local)}
    (call,) = calls(script, (), given)
    return Container(call.argv, call.env)


READERS = {"dynamo": dynamo_servers, "llm-d": llmd_servers}


def worker_tasks(corpus: Corpus, target: str, engine: str, folder: Path) -> list[dict[str, Any]]:
    """Every pod of one server of every section, where `engine` is the one inside."""
    return [
        {"id": f"{plan}/{one.role}/{number}", "plan": plan, "model": model_folder(corpus, plan, folder), "argv": list(pod.argv), "env": dict(pod.env)}
        for plan, one in _sections(corpus, target, engine)
        for number, pod in enumerate(one.pods)
    ]  # fmt: skip


def servers_of(corpus: Corpus, target: str, engine: str) -> dict[tuple[str, str], Deployed]:
    """Sections by plan and role."""
    return {(plan, one.role): one for plan, one in _sections(corpus, target, engine)}


def _sections(corpus: Corpus, target: str, engine: str) -> Iterator[tuple[str, Deployed]]:
    for one in corpus.of(target):
        inside, sections = READERS[target](one.files[0].text)
        if inside == engine:
            yield from ((one.plan, section) for section in sections)
