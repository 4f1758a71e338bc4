"""The image: its steps run as a script in a clean folder, since no container engine can be assumed; and what compose starts exists."""

import json
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
STAGE = re.compile(r"^FROM (\S+)(?: AS (\S+))?$")


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile with its argument, continued lines joined."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_image_is_small_pinned_and_not_root() -> None:
    found = instructions()
    stages = [rest for word, rest in found if word == "FROM"]

    assert len(stages) == 2
    assert all(":" in stage for stage in stages)
    assert not any(word == "ADD" for word, _ in found)
    assert [rest for word, rest in found if word == "USER"] == ["1000:1000"]
    assert all(
        "--require-hashes" in rest for word, rest in found if word == "RUN" and "install" in rest and "-r " in rest
    )
    assert all(json.loads(rest) for word, rest in found if word == "CMD")


def test_everything_that_is_copied_is_there_and_sent_to_the_build() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        name
        for word, rest in instructions()
        if word == "COPY" and "--from" not in rest
        for name in shlex.split(rest)[:-1]
    }

    assert copied <= sent
    assert all((ROOT / name).exists() for name in copied)


def test_the_steps_of_the_builder_make_a_command_that_works(tmp_path: Path) -> None:
    """Copies and folders as written; the dependencies, which the lock's own tests cover, come from this environment."""
    for word, rest in instructions():
        if word == "COPY" and "--from" not in rest:
            *names, target = shlex.split(rest)
            for name in names:
                subprocess.run(["cp", "-r", str(ROOT / name), str(tmp_path / target)], check=True)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    made = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-2000:]
    target = tmp_path / "site"
    with zipfile.ZipFile(next((tmp_path / "dist").glob("*.whl"))) as wheel:
        wheel.extractall(target)

    told = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            "import api.cli as c; print(c.__file__); import sys; sys.argv[1:] = ['version']; c.main()",
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stderr
    assert str(target) in told.stdout


def test_compose_starts_two_of_each_on_one_database_with_commands_and_settings_that_exist() -> None:
    from api.cli import app
    from api.settings import variables

    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    commands = {command.callback.__name__ for command in app.registered_commands if command.callback is not None}
    known = {name for name, _, _ in variables()}

    assert services["api"]["deploy"]["replicas"] == services["worker"]["deploy"]["replicas"] == 2
    assert services["worker"]["command"][1] in commands
    for service in (services["api"], services["worker"]):
        assert service["environment"].keys() <= known
        assert service["environment"]["MESHWRIGHT_DATABASE"].startswith("postgresql://")
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
