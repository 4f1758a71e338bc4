"""Generated pages equal what would be generated now, and tables that must be complete are."""

from pathlib import Path

import pytest

from api import docs
from api.errors import STATUS
from strategy.errors import MeshwrightError

PUBLIC = {"strategy.errors", "api.errors"}


def error_types(root: type[MeshwrightError] = MeshwrightError) -> set[type[MeshwrightError]]:
    """Every error that may leave its module."""
    found = {root}.union(*(error_types(kind) for kind in root.__subclasses__()))
    return {kind for kind in found if kind.__module__ in PUBLIC}


@pytest.mark.parametrize("path", docs.pages(), ids=lambda path: path.name)
def test_generated_page_is_fresh(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == docs.pages()[path], "run `make docs`"


def test_every_public_error_type_has_a_status_of_its_own() -> None:
    assert set(STATUS) == error_types()


def test_every_setting_has_a_meaning() -> None:
    rows = [line.split("|") for line in docs.settings_table().splitlines()[2:]]

    assert rows
    assert [row[1] for row in rows if not row[3].strip()] == []
