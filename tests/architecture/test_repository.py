"""What may and may not stand in the repository's files."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("agent", "api", "evals", "knowledge", "strategy", "validators", "tests", ".ci")
LOCKS = ("requirements.lock", "requirements-dev.lock")
MACHINE_PATH = re.compile(r"(?<![\w.$}/-])/(?:home|root|Users|work|opt|mnt)/\w")
URL_OR_HOST = re.compile(r"://|\b(?:index-url|find-links|trusted-host)\b|\b[\w-]+\.(?:org|com|net|io|dev)\b")
BINARY = {".png", ".npz", ".ico", ".woff2"}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_host(name: str) -> None:
    text = (ROOT / name).read_text()

    assert [line for line in text.splitlines() if URL_OR_HOST.search(line)] == []


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_of_a_lock_has_a_hash(name: str) -> None:
    pins = re.split(r"\n(?=[a-z0-9])", (ROOT / name).read_text().partition("\n#    make lock\n")[2])

    assert len(pins) > 40
    assert [pin.splitlines()[0] for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == []


def test_the_development_lock_holds_the_pins_of_the_other() -> None:
    pin = re.compile(r"^([a-z0-9._-]+==[^\s;\\]+)", re.MULTILINE)
    runtime, develop = (set(pin.findall((ROOT / name).read_text())) for name in LOCKS)

    assert runtime
    assert runtime <= develop


def test_the_locks_pin_everything_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    asked = {LOCKS[0]: [*project["project"]["dependencies"], *groups["build"]]}
    asked[LOCKS[1]] = [*asked[LOCKS[0]], *groups["dev"]]

    for lock, requirements in asked.items():
        pinned = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / lock).read_text(), re.MULTILINE))
        names = {re.split(r"[<>=\[; ]", requirement)[0].lower() for requirement in requirements}
        assert names <= pinned, f"{lock} lacks pins: run `make lock`"


def test_no_file_names_a_path_of_one_machine() -> None:
    found = []
    for path in tracked():
        if path.suffix in BINARY or path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if MACHINE_PATH.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}")

    assert found == []


def test_no_source_file_is_hidden_from_git() -> None:
    ignored = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "--", *FOLDERS]
    listed = subprocess.run(ignored, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")

    assert [
        name for name in listed.stdout.splitlines() if not re.search(r"(^|/)(__pycache__|\.\w+_cache)/", name)
    ] == []


def test_no_lock_that_names_hosts_is_tracked() -> None:
    assert [path for path in tracked() if re.fullmatch(r"uv\.lock|pylock.*\.toml", path.name)] == []


def test_what_ci_runs_is_the_readmes_test_command() -> None:
    assert "make test" in (ROOT / "README.md").read_text()
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test </dev/null"
