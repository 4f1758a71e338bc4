"""The cost model's constants, read from `knowledge/data/`: measured collectives and fitted efficiencies, each with its source."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import ValidationError

from knowledge.catalogue import SAFE_LOADER, gpus
from strategy.calibration import Calibration
from strategy.errors import KnowledgeError


@cache
def calibration() -> Calibration:
    """The constants that ship with this version. Raises `KnowledgeError` when a data file is broken."""
    try:
        return _assemble(_read("collectives.yaml"), _read("efficiencies.yaml"))
    except (KeyError, TypeError, ValidationError, yaml.YAMLError) as error:
        raise KnowledgeError(f"calibration data is broken: {error}") from error


def _read(name: str) -> dict[str, Any]:
    text = files("knowledge").joinpath("data", name).read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.load(text, Loader=SAFE_LOADER)  # noqa: S506
    return loaded


def _assemble(collectives: dict[str, Any], efficiencies: dict[str, Any]) -> Calibration:
    anchors = [{**row, "kernel": "low_latency"} for row in collectives["low_latency"]]
    for kernel in ("nccl", "custom"):
        sizes = collectives[f"{kernel}_sizes_bytes"]
        anchors += [{**row, "kernel": kernel, "bytes": sizes} for row in collectives[kernel]]
    return Calibration.model_validate(
        {
            "efficiencies": efficiencies["efficiencies"],
            "factors": efficiencies["factors"],
            "calibrated_archs": efficiencies["calibrated_archs"],
            "fitted_models": efficiencies["fitted_models"],
            "fitted_gpus": efficiencies["fitted_gpus"],
            "errors": efficiencies["errors"],
            "anchors": anchors,
            "fabrics": collectives["fabrics"],
            "arch_fabrics": collectives["arch_fabrics"],
            "alpha_beta": collectives["alpha_beta"],
            "link_rates": {key: gpu.scale_up_gb_per_s for key, gpu in gpus().items()},
        }
    )
