"""The DAG document itself: as a mapping, as JSON, as YAML."""

import json
from typing import Any

from strategy.dag import Dag, Node
from strategy.strategy import Pool

_ALWAYS = (
    "name", "phases", "replicas", "pp_size", "stages", "attention", "experts", "sp_kind", "dp_layout", "ep_lowering", "dcp_size",
    "redundant_experts", "dense_ffn", "lm_head",
)  # fmt: skip
"""Pool fields every document states; the others appear when they differ from their default."""


def document(dag: Dag) -> dict[str, Any]:
    """The compact mapping: absent means default, so a DeepSeek-V3 plan stays near 7,500 characters."""
    dumped = dag.model_dump(mode="json")
    return {
        "version": dag.version,
        "model": dumped["model"],
        "strategy": {"pools": [pool_document(pool) for pool in dag.strategy.pools]},
        "blocks": [
            {"name": block.name, "nodes": [node_document(node) for node in block.nodes], "output": block.output}
            for block in dag.blocks
        ],
        "branches": {phase: _without_none(branch) for phase, branch in dumped["branches"].items()},
        "links": [_without_false(link) for link in dumped["links"]],
    }


def pool_document(pool: Pool) -> dict[str, Any]:
    """One pool, with the fields of the contract and whatever else was changed."""
    full = pool.model_dump(mode="json")
    changed = pool.model_dump(mode="json", exclude_defaults=True)
    return {name: full[name] for name in full if name in _ALWAYS or name in changed}


def node_document(node: Node) -> dict[str, Any]:
    """One node with only the fields it has; `inputs` last, as people write it."""
    fields = node.model_dump(mode="json", exclude_none=True)
    inputs = fields.pop("inputs")
    return {**fields, "inputs": inputs} if inputs else fields


def _without_none(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value is not None}


def _without_false(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value is not False}


def to_json(dag: Dag) -> str:
    """The document as indented JSON."""
    return json.dumps(document(dag), indent=2)


def to_yaml(dag: Dag) -> str:
    """The document as YAML, one node a line."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Leaves in flow style, so that a node is one line."""

    Dumper.add_representer(
        _Flow, lambda dumper, value: dumper.represent_mapping("tag:yaml.org,2002:map", value, flow_style=True)
    )
    doc = document(dag)
    doc["strategy"]["pools"] = [_Flow(pool) for pool in doc["strategy"]["pools"]]
    for block in doc["blocks"]:
        block["nodes"] = [_Flow(node) for node in block["nodes"]]
    doc["branches"] = {phase: _Flow(branch) for phase, branch in doc["branches"].items()}
    doc["links"] = [_Flow(link) for link in doc["links"]]
    return yaml.dump(doc, Dumper=Dumper, sort_keys=False, width=200)


class _Flow(dict[str, Any]):
    """A mapping to be written on one line."""
