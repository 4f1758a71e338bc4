"""A plan as a folder: the result, the graph, the files of every engine that can run it, and a page that says what is what."""

import json
import re
from collections.abc import Iterable
from typing import NamedTuple

from api import service
from strategy.dag import Dag
from strategy.errors import InputError
from strategy.export import exporter
from strategy.request import Request
from strategy.result import Estimate, Result
from strategy.strategy import describe_strategy

ENGINES = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "trtllm": "TensorRT-LLM",
    "ray": "Ray Serve",
    "dynamo": "Dynamo",
    "llm-d": "llm-d",
}
GRAPHS = {
    "yaml": "the graph: read, edited, validated, exported again",
    "mermaid": "the graph for a README or an issue",
    "dot": "the graph for Graphviz",
    "graphml": "the graph for network tools",
    "perfetto": "the timeline of every rank, for Perfetto",
}

FILES = {
    "router.sh": "starts the router in front of the servers, on a machine that reaches them",
    "disaggregated.yaml": "tells the front end where the servers of both pools are",
    "serve.yaml": "the application for `serve deploy`",
    "dynamo.yaml": "the deployment for `kubectl apply`",
    "values.yaml": "the values for the modelservice chart",
}
"""Files of engines by name, beside the scripts of hosts and the settings of pools."""

MOST_NAMED = 32
"""Files of one export that are listed one by one."""


class Written(NamedTuple):
    """What an export gave: its files by their path in the folder, or why there are none."""

    files: dict[str, bytes]
    refusal: str = ""


def plan_files(result: Result, report: str) -> dict[str, bytes]:
    """Every file of a result by its path in the folder; `report` is what the terminal shows."""
    files = {
        "result.json": (json.dumps(service.document(result), indent=2) + "\n").encode(),
        "report.txt": report.encode(),
    }
    graphs, engines = {}, {}
    if result.dag is not None:
        graphs = {name: _written(result, name, "") for name in GRAPHS}
        engines = {name: _written(result, name, f"{name}/") for name in ENGINES}
    for made in (*graphs.values(), *engines.values()):
        files |= made.files
    return {"README.md": _readme(result, graphs, engines).encode(), **files}


def _written(result: Result, to: str, folder: str) -> Written:
    assert result.dag is not None
    try:
        made = service.export(result.dag, to, result.request)
    except InputError as error:
        return Written({}, f"{error}{f'; {error.hint}' if error.hint else ''}")
    return Written({f"{folder}{artifact.name}": artifact.data for artifact in made})


def export_files(dag: Dag, request: Request | None, to: str) -> dict[str, bytes]:
    """The files of one export by name, with a page that says what they are. Raises `InputError` where the target cannot express the plan."""
    files = {artifact.name: artifact.data for artifact in service.export(dag, to, request)}
    model = dag.model if isinstance(dag.model, str) else str(dag.model.get("name", "your model"))
    rows = {f"`{name}`": _told(to, name) for name in files}
    if len(rows) > MOST_NAMED:
        first, *_, last = rows
        rows = {f"{first} ... {last} ({len(files)} files)": rows[first]}
    parts = [f"# {model}: {describe_strategy(dag.strategy)}", "", "| file | what it is |", "| --- | --- |"]
    parts += [f"| {names} | {ENGINES.get(to, to)}: {told} |" for names, told in rows.items()]
    if to in ENGINES:
        parts += ["", "Each `hostN.sh` runs on host N; what has to be set (addresses) stands at the top of a file."]
    parts += [
        "",
        f"Written by `meshwright export FILE --to {to}`: change the plan and export again rather than edit these files.",
    ]
    return {"README.md": ("\n".join(parts) + "\n").encode(), **files}


def _told(to: str, name: str) -> str:
    """What a file of an export is, in a few words."""
    if to not in ENGINES:
        return exporter(to).summary
    if host := re.fullmatch(r"host(\d+)\.sh", name):
        return f"starts the servers of host {host[1]}"
    return FILES.get(name, "settings of the servers of this pool, which the scripts name")


# --- the page ---


def _readme(result: Result, graphs: dict[str, Written], engines: dict[str, Written]) -> str:
    parts = [f"# {_title(result)}", "", *_summary(result), "", "| file | what it is |", "| --- | --- |"]
    parts += [
        "| `report.txt` | the answer as the terminal shows it |",
        "| `result.json` | the answer as data: request, plan, proof, estimate, alternatives |",
    ]
    parts += [f"| `{name}` | {GRAPHS[kind]} |" for kind, made in graphs.items() for name in made.files]
    parts += [_row(name, made) for name, made in engines.items() if made.files]
    refused = [f"- {ENGINES[name]}: {made.refusal}" for name, made in engines.items() if made.refusal]
    if refused:
        parts += ["", "Not written, since the engine cannot run this plan:", "", *refused]
    if result.dag is not None:
        parts += ["", *_next()]
    return "\n".join(parts) + "\n"


def _row(name: str, made: Written) -> str:
    files = list(made.files)
    shown = f"`{files[0]}`" if len(files) == 1 else f"`{files[0]}` ... `{files[-1]}`"
    return f"| {shown} | serves it with {ENGINES[name]} |"


def _title(result: Result) -> str:
    if result.strategy is None:
        return f"{_model(result.request)}: {result.status.replace('_', ' ')}"
    return f"{_model(result.request)}: {describe_strategy(result.strategy)}"


def _model(request: Request | None) -> str:
    if request is None:
        return "The request"
    return request.model if isinstance(request.model, str) else str(request.model.get("name", "your model"))


def _summary(result: Result) -> Iterable[str]:
    if result.estimate is None or result.request is None:
        return [result.explanation or result.question or ""]
    cluster, proof = result.request.cluster, result.proof
    proved = (
        f" Run on {proof.ranks} virtual ranks against one device: {'passed' if proof.passed else 'failed'}."
        if proof
        else ""
    )
    return [
        f"{result.status.capitalize()}, on {cluster.hosts} x {cluster.gpus_per_host or ''} {cluster.gpu}. {_numbers(result.estimate)}{proved}"
    ]


def _numbers(value: Estimate) -> str:
    return (
        f"Estimated: TTFT {value.ttft_ms:,.0f} ms, TPOT {value.tpot_ms:,.1f} ms, {value.tokens_per_s_per_gpu:,.0f} tokens/s/GPU "
        f"at {value.concurrency:,} requests in flight; bound by {value.bottleneck}."
    )


def _next() -> list[str]:
    return [
        "Each `hostN.sh` runs on host N; what has to be set (addresses) stands at its top. Afterwards:",
        "",
        "```",
        "meshwright validate dag.yaml               # after an edit: is it still right?",
        "meshwright prove dag.yaml                  # run it on virtual ranks",
        "meshwright export result.json --to chakra -o chakra    # a trace for each rank (also npz: the unrolled graph)",
        "```",
    ]
