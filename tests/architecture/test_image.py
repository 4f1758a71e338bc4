"""The image: its steps run as a script in a clean folder, since no container engine can be assumed; and what compose starts exists."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from evals.service.image import build, healthcheck, instructions, stages, started

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
READY_S = 120


def test_the_image_is_small_pinned_and_not_root() -> None:
    found = instructions(DOCKERFILE)
    bases = [rest for word, rest in found if word == "FROM"]

    assert len(bases) == 2
    assert all(":" in base for base in bases)
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
        for word, rest in instructions(DOCKERFILE)
        if word == "COPY" and "--from" not in rest
        for name in shlex.split(rest)[:-1]
    }

    assert copied <= sent
    assert all((ROOT / name).exists() for name in copied)


def test_the_dockerfile_passes_the_linter() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("hadolint is not packaged for this platform")

    told = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)

    assert told.returncode == 0, told.stdout


def test_the_steps_of_the_dockerfile_make_a_service_that_is_well(tmp_path: Path) -> None:
    """Every step as it is written but the download: dependencies, which the lock pins, come from this environment."""
    builder, final = stages(DOCKERFILE)
    app = build(builder, tmp_path, linked=True)
    (tmp_path / "data").mkdir()
    command, environment = started(final, tmp_path)
    environment |= {"MESHWRIGHT_HOST": "127.0.0.1", "MESHWRIGHT_PORT": free_port()}
    program = shutil.which(command[0], path=environment["PATH"])
    assert program == str(app / ".venv/bin/meshwright")

    with subprocess.Popen([program, *command[1:]], cwd=app, env=environment, stderr=subprocess.PIPE) as process:
        try:
            wait_until_served(environment["MESHWRIGHT_PORT"], process)
            checked = subprocess.run(healthcheck(final), cwd=app, env=environment, capture_output=True, check=False)
            packages = where_packages_are(environment, app)
        finally:
            process.send_signal(signal.SIGTERM)

    assert checked.returncode == 0, checked.stderr
    assert packages.startswith(str(app / ".venv"))
    assert not (app / ".venv/bin/pip").exists()
    assert (tmp_path / "data/meshwright.sqlite3").exists()


def free_port() -> str:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as bound:
        return str(bound.getsockname()[1])


def wait_until_served(port: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    process.kill()
    raise AssertionError((process.stderr.read() if process.stderr else b"").decode()[-2000:])


def where_packages_are(environment: dict[str, str], app: Path) -> str:
    """The file that the image's Python imports."""
    command = [str(app / ".venv/bin/python"), "-P", "-c", "import api.cli; print(api.cli.__file__)"]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=True).stdout.strip()


def test_the_audit_asks_about_every_dependency_and_takes_silence_for_a_failure() -> None:
    script = (ROOT / ".ci/audit").read_text()

    assert "--strict" in script
    assert "-r requirements-full.lock" in script
    assert os.access(ROOT / ".ci/audit", os.X_OK)


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
