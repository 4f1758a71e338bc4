"""Every target of `export` by name."""

from collections.abc import Callable
from difflib import get_close_matches

from strategy.dag import Dag
from strategy.errors import UnknownNameError
from strategy.export.artifacts import Artifact, Exporter, Plan
from strategy.export.chakra import to_chakra
from strategy.export.documents import to_json, to_yaml
from strategy.export.dynamo import to_dynamo
from strategy.export.graphs import to_dot, to_graphml, to_npz
from strategy.export.llmd import to_llmd
from strategy.export.mermaid import to_mermaid
from strategy.export.perfetto import to_perfetto, to_pftrace
from strategy.export.ray import to_ray
from strategy.export.sglang import to_sglang
from strategy.export.trtllm import to_trtllm
from strategy.export.vllm import to_vllm


def _document(name: str, media_type: str, write: Callable[[Dag], str]) -> Callable[[Plan], tuple[Artifact, ...]]:
    """An export that needs the DAG alone and is one file."""
    return lambda plan: (Artifact(name, write(plan.dag), media_type),)


FORMATS: dict[str, Exporter] = {
    exporter.name: exporter
    for exporter in (
        Exporter("json", "the DAG document as JSON", _document("dag.json", "application/json", to_json), judged=False),
        Exporter("yaml", "the DAG document as YAML", _document("dag.yaml", "application/yaml", to_yaml), judged=False),
        Exporter("mermaid", "a Mermaid flowchart", _document("dag.mmd", "text/plain", to_mermaid), judged=False),
        Exporter("dot", "a Graphviz graph", to_dot, judged=False),
        Exporter("graphml", "GraphML of the template", to_graphml, judged=False),
        Exporter("npz", "columns of the unrolled DAG", to_npz),
        Exporter("vllm", "launch scripts for vLLM", to_vllm),
        Exporter("sglang", "launch scripts for SGLang", to_sglang),
        Exporter("trtllm", "scripts and configuration for TensorRT-LLM", to_trtllm),
        Exporter("ray", "a Ray Serve LLM application", to_ray),
        Exporter("dynamo", "a Dynamo graph deployment", to_dynamo),
        Exporter("llm-d", "values of the llm-d modelservice chart", to_llmd),
        Exporter("chakra", "Chakra execution traces, one a rank", to_chakra, priced=True),
        Exporter("perfetto", "a timeline for Perfetto", to_perfetto, priced=True),
        Exporter("pftrace", "the timeline in Perfetto's own protobuf", to_pftrace, priced=True),
    )
}


def exporter(name: str) -> Exporter:
    """The target of that name. Raises `UnknownNameError` with the nearest ones."""
    if name not in FORMATS:
        raise UnknownNameError("export format", name, get_close_matches(name, FORMATS) or list(FORMATS))
    return FORMATS[name]
