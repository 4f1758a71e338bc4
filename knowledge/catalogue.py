"""The models and GPUs we know, found by any usual spelling of their names.

One file per model in `data/models` (a header and the fields of its `config.json`, read by the same parser that reads a
user's file; a fine-tune names the record whose fields it has instead), one file for all GPUs, one for models that cannot be
planned, with the reason. Files are read once, when first asked for. All names stand in one more file, which `make docs` writes: who looks
for a model by another name than its key reads that and the file of the model.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import ValidationError

from knowledge.hf_config import parse_config
from strategy.errors import InputError, KnowledgeError, UnknownNameError, UnplannableModelError
from strategy.hardware import GpuSpec
from strategy.model import ModelSpec, Provenance, Status
from strategy.parameters import active_parameters, parameters

DATA = Path(__file__).parent / "data"
NAMES = DATA / "names.json"
SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""PyYAML's safe loader, in C where it was built with it: ten times as fast, and start-up reads tens of files."""
_NEAREST = 3
_MAX_NAME = 200
_VENDORS = ("nvidia", "amd", "google", "instinct", "tesla", "cloud")
_VARIANTS = ("instruct", "chat", "base", "hf", "it", "pt", "sxm", "sxm5", "gpu", "gpus", "v01", "text")
"""Words at the end of a name that do not change its shapes; dropped when the full name is unknown."""


@dataclass(frozen=True)
class Record:
    """The header of one model file; `config` is parsed only when the model is asked for."""

    key: str
    title: str
    aliases: tuple[str, ...]
    provenance: Provenance
    config: Mapping[str, Any]
    like: str | None = None
    """The record of the model that this one is a fine-tune or a quantisation of, whose `config` it has but for fields of its own."""


@dataclass(frozen=True)
class Unplannable:
    """A model that people name and the domain cannot hold, and why."""

    key: str
    title: str
    aliases: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        return f"{self.title} cannot be planned: {self.reason}"


@dataclass(frozen=True)
class ModelSummary:
    """One line of the model list. Sizes are in 10^9 parameters."""

    name: str
    title: str
    aliases: tuple[str, ...]
    parameters_b: float
    active_parameters_b: float
    num_layers: int
    attention: str
    weights: str
    max_position_embeddings: int
    provenance: Provenance

    @property
    def status(self) -> Status:
        """How far the record was checked."""
        return self.provenance.status


@dataclass(frozen=True)
class Instance:
    """A machine that is sold as a whole: its name as a pattern, its GPU and how many (None: the `n` of the name), over how many hosts."""

    name: str
    gpu: str
    gpus: int | None = None
    hosts: int = 1


@cache
def instances() -> tuple[Instance, ...]:
    """Cloud machines by the providers' names."""
    return tuple(Instance(**row) for row in _read_yaml(DATA / "instances.yaml"))


@cache
def models() -> Mapping[str, Record]:
    """Every model record by key, in order of key. Raises `KnowledgeError` when a file of ours is broken."""
    return MappingProxyType({key: _record(key) for key in _model_files()})


def record(key: str) -> Record:
    """The record whose key this is; no other file is read. Raises `KnowledgeError` when there is none, or it is broken."""
    return _record(key)


@cache
def model_names() -> Mapping[str, tuple[str, ...]]:
    """Title and aliases of every model, by key, as the names file has them. Raises `KnowledgeError` when it cannot be read."""
    try:
        found = json.loads(NAMES.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise KnowledgeError(f"catalogue file `{NAMES.name}` cannot be read: {error}") from error
    return MappingProxyType({key: tuple(names) for key, names in found.items()})


def names_file() -> str:
    """What the names file should hold: a line for each model."""
    lines = (f"{json.dumps(key)}: {json.dumps([one.title, *one.aliases])}" for key, one in models().items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


@cache
def unplannable() -> Mapping[str, Unplannable]:
    """Every known model that cannot be planned, by key."""
    entry = _read_yaml(DATA / "unplannable.yaml")
    return MappingProxyType(
        {
            row["key"]: Unplannable(row["key"], row["title"], tuple(row["aliases"]), entry["reasons"][row["because"]])
            for row in entry["models"]
        }
    )


@cache
def gpus() -> Mapping[str, GpuSpec]:
    """Every GPU by key, in the order of the file."""
    return MappingProxyType({gpu.key: gpu for gpu, _ in _gpu_records()})


@cache
def gpu_aliases() -> Mapping[str, tuple[str, ...]]:
    """Other names of every GPU, by key."""
    return MappingProxyType({gpu.key: aliases for gpu, aliases in _gpu_records()})


def find_model(name: str) -> ModelSpec:
    """The model of this name, alias or Hugging Face id; case and punctuation do not matter.

    Raises `UnknownNameError` with the nearest names, and `UnplannableModelError` for a model that is known and cannot be planned.
    """
    if name in _model_files():
        return load_model(name)
    try:
        return load_model(_find("model", name, _model_index(), model_names()))
    except UnknownNameError:
        key = _look_up(name, _unplannable_index())
        if key is None:
            raise
        raise UnplannableModelError(str(unplannable()[key])) from None


def find_gpu(name: str) -> GpuSpec:
    """The GPU of this name or alias; case and punctuation do not matter. Raises `UnknownNameError` with the nearest names."""
    return gpus()[_find("GPU", name, _gpu_index(), gpus())]


@cache
def load_model(key: str) -> ModelSpec:
    """The model whose key this is. Raises `KnowledgeError` when its file does not parse."""
    record = _record(key)
    try:
        return parse_config(record.config, name=record.key, aliases=record.aliases, provenance=record.provenance)
    except InputError as error:
        raise KnowledgeError(f"model file `{key}`: {error} at {error.pointer or '/'}") from error


def summaries() -> list[ModelSummary]:
    """One line per model, in order of key."""
    return [_summary(key) for key in models()]


def normalise(name: str) -> str:
    """A name without case and punctuation, a plus in words."""
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("+", "plus"))


def _summary(key: str) -> ModelSummary:
    model, record = load_model(key), _record(key)
    return ModelSummary(
        name=model.name,
        title=record.title,
        aliases=model.aliases,
        parameters_b=round(parameters(model) / 1e9, 2),
        active_parameters_b=round(active_parameters(model) / 1e9, 2),
        num_layers=model.num_layers,
        attention=model.attention.kind,
        weights=model.checkpoint.weights,
        max_position_embeddings=model.max_position_embeddings,
        provenance=model.provenance,
    )


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=SAFE_LOADER)  # noqa: S506
    except (OSError, yaml.YAMLError) as error:
        raise KnowledgeError(f"catalogue file `{path.name}` cannot be read: {error}") from error


@cache
def _model_files() -> Mapping[str, Path]:
    """Key -> file, in order of key. A name that is a key needs no other file to be read."""
    return MappingProxyType({path.stem: path for path in sorted((DATA / "models").glob("*.yaml"))})


@cache
def _record(key: str) -> Record:
    path = _model_files().get(key)
    if path is None:
        raise KnowledgeError(f"the catalogue has no model file `{key}`")
    entry = _read_yaml(path)
    try:
        provenance = Provenance.model_validate(entry["provenance"])
        base = _record(entry["like"]).config if "like" in entry else None
        config = entry["config"] if base is None else {**base, **entry.get("config", {})}
        return Record(path.stem, entry["title"], tuple(entry["aliases"]), provenance, config, entry.get("like"))
    except (KeyError, TypeError, ValidationError) as error:
        raise KnowledgeError(f"model file `{path.name}` lacks a header field: {error}") from error


@cache
def _gpu_records() -> tuple[tuple[GpuSpec, tuple[str, ...]], ...]:
    found = []
    for entry in _read_yaml(DATA / "gpus.yaml"):
        fields = dict(entry)
        aliases = tuple(fields.pop("aliases", ()))
        try:
            found.append((GpuSpec.model_validate(fields), aliases))
        except ValidationError as error:
            raise KnowledgeError(f"GPU record `{fields.get('key')}`: {error}") from error
    return tuple(found)


@cache
def _model_index() -> Mapping[str, str]:
    return _index((key, (key, *names)) for key, names in model_names().items())


@cache
def _unplannable_index() -> Mapping[str, str]:
    return _index((key, (key, one.title, *one.aliases)) for key, one in unplannable().items())


@cache
def _gpu_index() -> Mapping[str, str]:
    aliases = gpu_aliases()
    return _index((key, (key, gpu.name, *aliases[key])) for key, gpu in gpus().items())


def _index(names: Iterator[tuple[str, Sequence[str]]]) -> Mapping[str, str]:
    """Normalised spelling to key; a Hugging Face id is found with and without its organisation."""
    index: dict[str, str] = {}
    for key, spellings in names:
        for spelling in spellings:
            for form in (spelling, spelling.rpartition("/")[2]):
                if index.setdefault(normalise(form), key) != key:
                    raise KnowledgeError(f"`{form}` names both `{index[normalise(form)]}` and `{key}`")
    return index


def _find(kind: str, name: str, index: Mapping[str, str], known: Mapping[str, object]) -> str:
    """The key that `name` means. Raises `UnknownNameError`."""
    key = _look_up(name, index)
    if key is None:
        raise UnknownNameError(kind, name[:_MAX_NAME], _nearest(name[:_MAX_NAME], index, known))
    return key


def _look_up(name: str, index: Mapping[str, str]) -> str | None:
    """The key that `name` means, or None."""
    return next((key for form in _forms(name[:_MAX_NAME]) if (key := index.get(form))), None)


def _forms(name: str) -> Iterator[str]:
    """Spellings to try, the most exact first: whole, without organisation, without vendor and variant words."""
    for form in (name, name.rpartition("/")[2]):
        yield normalise(form)
    words = [word for word in re.split(r"[^a-z0-9.]+", name.rpartition("/")[2].lower()) if word]
    while words and words[0] in (*_VENDORS, "meta"):
        words = words[1:]
        yield normalise("".join(words))
    while words and normalise(words[-1]) in _VARIANTS:
        words = words[:-1]
        yield normalise("".join(words))


def _nearest(name: str, index: Mapping[str, str], known: Mapping[str, object]) -> list[str]:
    """Up to three keys that the name may have been meant to be."""
    wanted = normalise(name.rpartition("/")[2])
    score = _similarity(wanted)
    best: dict[str, float] = {}
    for form, key in index.items():
        best[key] = max(best.get(key, 0.0), score(form) * (1.0 if form == normalise(key) else 0.97))
    ranked = sorted(known, key=lambda key: (-best.get(key, 0.0), len(key), key))
    return [key for key in ranked[:_NEAREST] if best.get(key, 0.0) >= 0.5]


def _similarity(wanted: str) -> Callable[[str], float]:
    """How alike a spelling is: difflib's ratio, and nearly one where one is the start of the other."""
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)

    def score(form: str) -> float:
        if min(len(form), len(wanted)) >= 3 and (form.startswith(wanted) or wanted.startswith(form)):
            return 0.95
        matcher.set_seq1(form)
        return matcher.ratio() if matcher.quick_ratio() >= 0.5 else 0.0

    return score
