"""The package itself: whether it is here, what it knows, and one call of it.

Written for 0.12, by its `cli.api.cli_estimate` (the documented way to call it from Python). Nothing is imported before it is asked for:
importing it takes seconds and its tables 100 MB.
"""

import atexit
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import import_module, metadata
from logging import ERROR, getLogger
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from threading import Lock
from typing import Any

from strategy.errors import InputError

NAME = "aiconfigurator"
WRITTEN_FOR = "0.12."
HOW_TO_INSTALL = "pip install 'aiconfigurator>=0.12,<0.13' (Python 3.11 to 3.13), or --require-hashes -r requirements-aiconfigurator.lock"
_ONE_AT_A_TIME = Lock()
"""Its tables are loaded into module globals."""


@dataclass(frozen=True)
class Package:
    """What we use of it; tests put recordings in its place."""

    version: str
    models: frozenset[str]
    """Hugging Face ids whose configs it brings along."""
    architectures: frozenset[str]
    """What a config.json may name under `architectures`."""
    databases: Callable[[], Mapping[str, Mapping[str, Sequence[str]]]]
    """Engine versions with tables, by system and engine."""
    latest: Callable[[str, str], str | None]
    """The version that it takes for a system and an engine when none is named; None without tables."""
    estimate: Callable[..., Any]


@cache
def installed() -> Package:
    """The package of this environment. Raises `InputError` that says how to install it, or which version is wanted."""
    try:
        version = metadata.version(NAME)
    except metadata.PackageNotFoundError:
        raise InputError(
            f"the cost backend {NAME} is not installed", pointer="/cost_backend", hint=HOW_TO_INSTALL
        ) from None
    if not version.startswith(WRITTEN_FOR):
        raise InputError(
            f"{NAME} {version} is installed, and this was written for {WRITTEN_FOR}x",
            pointer="/cost_backend",
            hint=HOW_TO_INSTALL,
        )
    for name in (NAME, f"{NAME}_core"):
        getLogger(name).setLevel(ERROR)  # it warns of every table that it has and we do not ask for
    tables, common = import_module(f"{NAME}.sdk.perf_database"), import_module(f"{NAME}.sdk.common")
    return Package(
        version=version,
        models=frozenset(common.DefaultHFModels),
        architectures=frozenset(common.ARCHITECTURE_TO_MODEL_FAMILY),
        databases=tables.get_supported_databases,
        latest=tables.get_latest_database_version,
        estimate=import_module(f"{NAME}.cli.api").cli_estimate,
    )


def engine_version(package: Package, system: str, engine: str, wanted: str | None) -> str:
    """The version of the engine whose tables are used: `wanted`, or the package's own choice. Raises `InputError` that lists what there is."""
    if wanted is None:
        if found := package.latest(system, engine):
            return found
        having = sorted(name for name, engines in package.databases().items() if engines.get(engine))
        raise InputError(
            f"{NAME} has no tables of {engine} on {system}",
            pointer="/request/cluster/gpu",
            hint=f"it has tables of {engine} on {', '.join(having) or 'no system'}",
        )
    known = package.databases().get(system, {}).get(engine, ())
    if wanted not in known:
        raise InputError(
            f"{NAME} has no tables of {engine} {wanted[:40]} on {system}",
            pointer="/cost_backend",
            hint=f"it has {', '.join(known) or f'none of {engine} there'}",
        )
    return wanted


def model_path(package: Package, names: Sequence[str], config: Mapping[str, Any] | None) -> str:
    """What it calls the model: an id whose config it brings, or else a folder with `config`. It is never left to reach for a hub.

    `names` are the model's ids. Raises `InputError` when there is no config to hand over, or it names an architecture that is not known.
    """
    if known := next((name for name in names if name in package.models), None):
        return known
    if config is None:
        raise InputError(
            f"{NAME} reads a config.json, and an inline model spec is none",
            pointer="/request/model",
            hint="give a catalogue name or the config.json of the model",
        )
    named = config.get("architectures")
    architecture = named[0] if isinstance(named, list) and named else None
    if architecture not in package.architectures:
        raise InputError(
            f"{NAME} does not know the architecture {str(architecture)[:80]}",
            pointer="/request/model",
            hint=f"it knows {', '.join(sorted(package.architectures))}",
        )
    return str(_written(json.dumps(config, sort_keys=True)))


def ask(package: Package, path: str, system: str, engine: str, version: str, fields: Mapping[str, Any]) -> Any:
    """Its answer. Raises `InputError` with its own words when it has none: no memory, no measured row, a layout it refuses."""
    with _ONE_AT_A_TIME:
        try:
            return package.estimate(path, system, backend_name=engine, backend_version=version, **fields)
        except Exception as error:  # whatever a foreign program fails with, it has no price
            said = " ".join(str(error).replace(path, "given").split()) or "no reason given"
            raise InputError(
                f"{NAME} {package.version} has no price for this: {said[:400]} ({type(error).__name__})",
                hint="our own cost model prices it: leave the cost backend out",
            ) from error


@cache
def _folder() -> Path:
    """Where configs are handed over; gone with the process."""
    made = Path(mkdtemp(prefix="meshwright-"))
    atexit.register(rmtree, made, ignore_errors=True)
    return made


def _written(config: str) -> Path:
    """A folder with this config.json, one for each: the package remembers configs by path."""
    folder = _folder() / sha256(config.encode()).hexdigest()[:16]
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(config, encoding="utf-8")
    return folder
