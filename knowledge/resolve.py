"""From a request as written to a problem as understood: names looked up, defaults decided, each decision said in a sentence."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import ValidationError

from knowledge.catalogue import find_gpu, find_model, normalise, record
from knowledge.hf_config import CONFIG_KEYS, parse_config
from strategy.errors import InputError, UnreadableError, plainly
from strategy.hardware import Cluster, GpuSpec
from strategy.model import Dtype, ModelSpec, Provenance
from strategy.quantisation import FULL_PRECISIONS
from strategy.request import (
    ClusterRequest,
    Engine,
    GpuOverrides,
    Precision,
    PrecisionRequest,
    Problem,
    Request,
    Workload,
)

_SPEC_KEYS = frozenset({"attention", "checkpoint", "dense_layers", "num_layers"})
_PARAMS_KEYS = frozenset({"dim", "n_layers", "d_model", "n_layer", "num_layers"})
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Resolved:
    """A problem, and every default that was decided on the way to it."""

    problem: Problem
    assumptions: tuple[str, ...]


def resolve(request: Request) -> Resolved:
    """Look up the model and the GPU of `request` and decide what it leaves open.

    Raises `InputError` (or `UnknownNameError`) with a JSON pointer into the request.
    """
    model = _at("/model", lambda: resolve_model(request.model))
    gpu = _at("/cluster/gpu", lambda: find_gpu(request.cluster.gpu))
    cluster, cluster_notes = resolve_cluster(request.cluster, gpu)
    precision, precision_notes = resolve_precision(request.precision, model, cluster.gpu, request.engine)
    max_model_len, length_notes = _max_model_len(request.workload, model)
    problem = Problem(
        model=model,
        cluster=cluster,
        workload=request.workload,
        slo=request.slo,
        precision=precision,
        objective=request.objective,
        serving=request.serving,
        engine=request.engine,
        constraints=request.constraints,
        max_model_len=max_model_len,
    )
    notes = (*_model_notes(request, model), *cluster_notes, *precision_notes, *length_notes, *_load_notes(request))
    return Resolved(problem, notes)


def resolve_model(ref: str | Mapping[str, Any], *, name: str | None = None) -> ModelSpec:
    """The model that `ref` means: a catalogue name, JSON text, the object of a `config.json`, or an inline `ModelSpec`.

    `name` names a `config.json` that carries no name of its own. Raises `InputError` when it is none of these.
    """
    if isinstance(ref, str):
        return resolve_model(_parse_json(ref), name=name) if ref.lstrip().startswith("{") else find_model(ref)
    if _is_config(ref):
        return parse_config(ref, name=name or _config_name(ref))
    if not _SPEC_KEYS & ref.keys():
        keys = ", ".join(f"`{key}`" for key in sorted(CONFIG_KEYS))
        raise InputError("neither a config.json nor an inline model spec", hint=f"a config.json has one of {keys}")
    try:
        return ModelSpec.model_validate({"name": name or "inline", **ref})
    except ValidationError as error:
        raise _first_fault(error) from None


def config_of(ref: str | Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The `config.json` behind what `resolve_model` accepts; None for an inline spec, which has none."""
    if isinstance(ref, str):
        return config_of(_parse_json(ref)) if ref.lstrip().startswith("{") else record(find_model(ref).name).config
    return ref if _is_config(ref) else None


SAME_DEVICE = frozenset({"name", "memory_gb", "tdp_w", "nic_gb_per_s", "scale_up_domain"})
"""Fields of a GPU that may be replaced and leave it the device on which kernels were measured."""


def resolve_cluster(request: ClusterRequest, gpu: GpuSpec) -> tuple[Cluster, list[str]]:
    """The cluster, with the fields of the GPU record that the request replaces, and what was assumed."""
    notes = []
    changes = {k: v for k in GpuOverrides.model_fields if (v := getattr(request, k)) is not None}
    if changes:
        notes.append(f"{gpu.key}: the request replaces {', '.join(sorted(changes))} of the catalogue record.")
    per_host = request.gpus_per_host
    if per_host is None:
        per_host = gpu.gpus_per_host
        notes.append(f"{per_host} GPUs per host, as {gpu.name} is usually sold.")
    if gpu.provenance.status != "verified":
        note = f" ({gpu.provenance.note})" if gpu.provenance.note else ""
        notes.append(f"The catalogue record of {gpu.key} is {gpu.provenance.status.replace('_', '-')}{note}.")
    if changes.keys() - SAME_DEVICE:
        changes["provenance"] = Provenance(source="the request", status="unverified")
    gpu = gpu.model_copy(update=changes)
    return Cluster(gpu=gpu, gpus_per_host=per_host, hosts=request.hosts), notes


def resolve_precision(
    request: PrecisionRequest, model: ModelSpec, gpu: GpuSpec, engine: Engine | None = None
) -> tuple[Precision, list[str]]:
    """Precisions as decided: weights as the checkpoint ships, bf16 activations, the cache as `kv_dtype` says, unless the request does."""
    notes = []
    plain: Dtype = "bf16" if gpu.has_bf16 else "fp16"
    shipped: Dtype = plain if model.checkpoint.weights in ("fp32", "bf16") else model.checkpoint.weights
    activations: Dtype = "fp16" if shipped == "fp16" else plain
    if request.weights is None:
        kept = shipped == model.checkpoint.weights
        cast = ", as the checkpoint ships" if kept else f", cast from {model.checkpoint.weights}"
        notes.append(f"Weights in {shipped}{cast}.")
    elif request.weights != model.checkpoint.weights:
        notes.append(f"Weights in {request.weights}; the checkpoint ships {model.checkpoint.weights}.")
    if request.activations is None:
        notes.append(f"Activations in {activations}.")
    weights = request.weights or shipped
    kv = request.kv or kv_dtype(weights, activations, gpu, engine)
    if request.kv is None:
        served = "" if kv == activations else f", as {engine} is run with {weights} weights on this GPU"
        notes.append(f"KV cache in {kv}{served}.")
    decided = Precision(weights=weights, activations=request.activations or activations, kv=kv)
    return decided, [*notes, *_unsupported_dtypes(decided, gpu)]


def kv_dtype(weights: Dtype, activations: Dtype, gpu: GpuSpec, engine: Engine | None) -> Dtype:
    """The cache's type where nothing states it: fp8 where an engine that is named is commonly run so, else as activations are.

    Published launch scripts set an fp8 cache with quantised weights on NVIDIA GPUs that compute in fp8 (measured serving points that
    saturate their cache agree), except for vLLM before Blackwell, which is left at 16 bits.
    """
    quantised = weights not in FULL_PRECISIONS
    able = gpu.arch.startswith("sm") and gpu.fp8_tflops is not None
    plain = engine == "vllm" and gpu.fp4_tflops is None
    return "fp8" if engine is not None and quantised and able and not plain else activations


def _unsupported_dtypes(precision: Precision, gpu: GpuSpec) -> list[str]:
    """A sentence for weights that the device stores but cannot multiply."""
    dtype = precision.weights
    if dtype in FULL_PRECISIONS or gpu.tflops(dtype) is not None:
        return []
    return [
        f"{gpu.name} has no {dtype} matrix units: {dtype} weights are expanded and multiplied in {precision.activations}."
    ]


def _max_model_len(workload: Workload, model: ModelSpec) -> tuple[int, list[str]]:
    """Tokens one sequence may reach: the request's own, which must fit the positions the model was made for."""
    needed = workload.isl + workload.osl
    if needed > model.max_position_embeddings:
        limit = f"max_position_embeddings={model.max_position_embeddings}"
        return needed, [
            f"isl + osl = {needed} is beyond {limit} of {model.name}: the model needs position scaling for it."
        ]
    return needed, [f"max_model_len = {needed} (isl + osl)."]


def _model_notes(request: Request, model: ModelSpec) -> list[str]:
    """What to know of the model record: another name's shapes, a record that was not checked, parts left out."""
    notes = []
    asked = request.model if isinstance(request.model, str) and not request.model.lstrip().startswith("{") else None
    if asked is not None and not _is_named(asked, model):
        notes.append(f"`{asked}` is planned with the record of {model.name}.")
    status, note = model.provenance.status, model.provenance.note
    if asked is not None and status != "verified":
        notes.append(
            f"The catalogue record of {model.name} is {status.replace('_', '-')}{f' ({note})' if note else ''}."
        )
    elif note:
        notes.append(f"{model.name}: {note}.")
    return notes


def _is_named(asked: str, model: ModelSpec) -> bool:
    """Whether the record states this name, rather than it being a variant that was traced to the record."""
    stated = _stated(model.name, model.aliases)
    return normalise(asked) in stated or normalise(asked.rpartition("/")[2]) in stated


@lru_cache(maxsize=256)
def _stated(name: str, aliases: tuple[str, ...]) -> frozenset[str]:
    """The names of a record, each also without its organisation."""
    return frozenset(normalise(form) for one in (name, *aliases) for form in (one, one.rpartition("/")[2]))


def _load_notes(request: Request) -> list[str]:
    workload = request.workload
    if workload.concurrency is None and workload.request_rate is None:
        return ["No load given: as many concurrent sequences as memory and the SLO allow."]
    return []


def _is_config(ref: Mapping[str, Any]) -> bool:
    """Whether an object is a `config.json` rather than an inline spec (which has an `attention` object)."""
    if isinstance(ref.get("attention"), Mapping):
        return False
    return bool(CONFIG_KEYS & ref.keys()) or (bool(_PARAMS_KEYS & ref.keys()) and "checkpoint" not in ref)


def _config_name(config: Mapping[str, Any]) -> str:
    """A name for a `config.json`: where it was loaded from, else its model type."""
    path = config.get("_name_or_path")
    if isinstance(path, str) and (last := _printable(path.rstrip("/").rpartition("/")[2])):
        return last
    kind = config.get("model_type")
    return (_printable(kind) if isinstance(kind, str) else "") or "custom"


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else " " for c in name[:120]).strip()


def _parse_json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UnreadableError(f"model: not JSON: {error.msg}", line=error.lineno, column=error.colno) from None
    except RecursionError:
        raise UnreadableError("model: JSON nested too deeply") from None
    return dict(value)


def _first_fault(error: ValidationError) -> InputError:
    fault = error.errors(include_url=False, include_context=False)[0]
    place = "".join(f"/{part}" for part in fault["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return InputError(f"model spec: `{place or '/'}`: {plainly(fault['msg'])}{more}", pointer=place)


def _at(pointer: str, action: Callable[[], _Value]) -> _Value:
    """Run `action`; an `InputError` from it points below `pointer`."""
    try:
        return action()
    except InputError as error:
        error.pointer = pointer + error.pointer
        raise
