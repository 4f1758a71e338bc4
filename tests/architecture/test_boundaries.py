"""Folders, names and imports stay as the design says."""

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from statistics import median

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent", "api", "evals", "knowledge", "strategy", "validators")


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_imports_point_one_way() -> None:
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)

    assert status == EXIT_STATUS_SUCCESS, "run `lint-imports` to see which import breaks which contract"


def test_no_other_distribution_owns_our_import_names() -> None:
    owners = metadata.packages_distributions()

    assert {name: set(owners.get(name, ["meshwright"])) for name in PACKAGES} == {
        name: {"meshwright"} for name in PACKAGES
    }


def test_the_package_is_ours_wherever_python_starts(tmp_path: Path) -> None:
    script = f"import {', '.join(PACKAGES)}; print(*(m.__file__ for m in ({', '.join(PACKAGES)})), sep='\\n')"
    found = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert found.stdout.split() == [str(ROOT / package / "__init__.py") for package in PACKAGES]


def test_no_test_folder_is_a_package() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_test_modules_have_names_of_their_own_within_a_folder() -> None:
    stray = [
        path
        for path in (ROOT / "tests").rglob("*.py")
        if not path.name.startswith("test_") and path.name != "conftest.py"
    ]

    assert [path for path in stray if path.stem in PACKAGES] == []


def test_functions_stay_short() -> None:
    lengths = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                lengths.append((node.end_lineno - node.lineno + 1, f"{path.relative_to(ROOT)}:{node.lineno}"))
    lengths.sort()
    sizes = [size for size, _ in lengths]

    assert median(sizes) <= 10
    assert sizes[int(0.95 * len(sizes)) - 1] <= 40, f"the longest: {lengths[-10:]}"
