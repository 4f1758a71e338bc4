"""Files against a published shape: llm-d values against the chart's JSON schema, Dynamo deployments against the templates in its wheel."""

import json
from importlib.metadata import files
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from evals.realtool.drivers import protocol

TEMPLATES = "profiler/templates/dgd/"
BESIDE = {
    "spec.components[].multinode.nodeCount",
    "spec.components[].podTemplate.spec.containers[].env[].name",
    "spec.components[].podTemplate.spec.containers[].env[].value",
}
"""Keys of the resource that no template happens to need."""


def judge(task: protocol.Task) -> dict[str, Any]:
    """One file, of the kind that the task says."""
    document = yaml.safe_load(task["text"])
    return llmd(document, task["schema"]) if task["kind"] == "llm-d" else dynamo(document)


def llmd(values: Any, schema: str) -> dict[str, Any]:
    """Values of the chart. Raises `ValidationError`; misspelt keys at the top would pass the schema, so they are refused here."""
    known = json.loads(Path(schema).read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(known).validate(values)
    unknown = set(values) - set(known["properties"])
    assert not unknown, f"no values of the chart: {sorted(unknown)}"
    return {"sections": [name for name in ("prefill", "decode") if values[name].get("create", True)]}


def dynamo(document: Any) -> dict[str, Any]:
    """A deployment whose keys, kinds and programs all occur in Dynamo's own templates for that engine."""
    engine = document["spec"]["backendFramework"]
    templates = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in _templates(engine)]
    known = set().union(*map(_keys, templates)) | BESIDE | {"spec.backendFramework"}
    assert not _keys(document) - known, f"keys that no template has: {sorted(_keys(document) - known)}"
    for template in templates:
        assert document["apiVersion"] == template["apiVersion"], template["apiVersion"]
    kinds = {component["type"] for template in templates for component in template["spec"]["components"]}
    mine = {component["type"] for component in document["spec"]["components"]}
    assert mine <= kinds, mine - kinds
    programs = {
        tuple(_container(component)["command"])
        for template in templates
        for component in template["spec"]["components"]
    }
    assert {tuple(_container(component)["command"]) for component in document["spec"]["components"]} <= programs
    return {"components": sorted(mine)}


def _templates(engine: str) -> list[Path]:
    found = [Path(str(path.locate())) for path in files("ai-dynamo") or () if f"{TEMPLATES}{engine}/" in str(path)]
    assert found, f"no templates for {engine}"
    return [path for path in found if path.suffix == ".yaml"]


def _container(component: Any) -> Any:
    return component["podTemplate"]["spec"]["containers"][0]


def _keys(value: Any, path: str = "") -> set[str]:
    if isinstance(value, dict):
        return set().union(*(_keys(one, f"{path}.{name}" if path else name) for name, one in value.items()))
    if isinstance(value, list):
        return set().union(*(_keys(one, f"{path}[]") for one in value))
    return {path.removesuffix("[]")}


if __name__ == "__main__":
    protocol.serve(judge)
