"""Planted faults are caught: the comparison fails and names suite and samples. `python -m evals plant` plants all of them."""

import shutil
from pathlib import Path

import pytest

from evals.plant import FAULTS, Fault, break_file, caught
from evals.version import ROOT
from strategy.errors import InputError


def test_there_is_a_fault_of_every_kind() -> None:
    assert {fault.name for fault in FAULTS} >= {"rule", "prompt", "constant", "planner", "proof", "export"}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_still_names_a_place_in_the_sources(fault: Fault, tmp_path: Path) -> None:
    (tmp_path / fault.file).parent.mkdir(parents=True)
    shutil.copy(ROOT / fault.file, tmp_path / fault.file)

    break_file(tmp_path, fault)

    assert (tmp_path / fault.file).read_text() != (ROOT / fault.file).read_text()
    with pytest.raises(InputError, match="no longer applies"):
        break_file(tmp_path, fault)


def test_a_broken_prompt_is_caught_in_a_copy_of_the_sources(tmp_path: Path) -> None:
    fault = next(fault for fault in FAULTS if fault.name == "prompt")

    found = caught(fault, tmp_path)

    assert found.seen
    assert any(line.startswith("regression prompts/enough: mend-") for line in found.moved)
