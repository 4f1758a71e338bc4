"""`MESHWRIGHT_KNOWLEDGE`: a folder of the user's own pages, through the command and through REST."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings

Run = Callable[..., subprocess.CompletedProcess[str]]
TEXT = "Llama 3.1 8B on 1x L40S, 1024 tokens in, 128 out, concurrency 4"
PAGE = """# House rules

## Our L40S hosts

Every L40S host of ours runs Llama 3.1 8B with one replica a card.
"""
REF = "ours/house.md#our-l40s-hosts"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "house.md").write_text(PAGE)
    return tmp_path / "ours"


def test_the_command_cites_a_page_of_the_users_folder(meshwright: Run, folder: Path) -> None:
    told = meshwright("plan", TEXT, "--format", "json", MESHWRIGHT_KNOWLEDGE=json.dumps([str(folder)]))

    assert told.returncode == 0, told.stderr
    assert REF in [citation["ref"] for citation in json.loads(told.stdout)["citations"]]


def test_rest_cites_and_shows_a_page_of_the_users_folder(folder: Path, tmp_path: Path) -> None:
    settings = Settings(_env_file=None, knowledge=(folder,), database=f"sqlite:{tmp_path / 'm.sqlite3'}")
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        result = client.post("/v1/strategies", json={"text": TEXT}).json()
        section = client.get("/v1/knowledge", params={"ref": REF})
        (folder / "house.md").write_text(PAGE.replace("House rules", "House rules, second edition"))
        changed = client.get("/v1/knowledge", params={"ref": REF})

    assert REF in [citation["ref"] for citation in result["citations"]]
    assert section.status_code == 200, section.text
    assert "one replica a card" in section.json()["text"]
    assert changed.json()["page"] == "House rules, second edition"


def test_a_folder_that_is_not_there_is_no_fault(meshwright: Run, tmp_path: Path) -> None:
    told = meshwright("plan", TEXT, "--format", "json", MESHWRIGHT_KNOWLEDGE=json.dumps([f"{tmp_path}{os.sep}gone"]))

    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["status"] == "valid"
