"""What the long-running processes load, which is most of the time of their start."""

import subprocess
import sys
from pathlib import Path

import pytest

from knowledge import catalogue


def _loaded(code: str) -> set[str]:
    """The modules of a fresh interpreter after some code."""
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(told.stdout.split())


def test_a_worker_loads_no_web_framework() -> None:
    assert "api.core" in _loaded("import api.worker_process")
    assert not {"fastapi", "starlette", "uvicorn"} & _loaded("import api.worker_process")


def test_a_model_is_read_from_its_own_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = catalogue._read_yaml
    for remembered in (catalogue.load_model, catalogue._record):
        remembered.cache_clear()

    def noted(path: Path) -> object:
        read.append(path.stem)
        return real(path)

    monkeypatch.setattr(catalogue, "_read_yaml", noted)

    assert catalogue.find_model("qwen3-8b").name == "qwen3-8b"
    assert read == ["qwen3-8b"]
    assert catalogue.find_model("Meta Llama 3.1 8B Instruct").name == "llama-3.1-8b"
    assert read == ["qwen3-8b", "llama-3.1-8b"]
