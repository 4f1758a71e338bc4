"""An environment for each tool, made once from its pinned requirements under `.realtool/`."""

import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STAMP = "ready.txt"
RUN = "import runpy, sys; sys.path.append({root!r}); sys.argv = ['driver', {tasks!r}, {out!r}]; runpy.run_module({module!r}, run_name='__main__')"
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_TARGET_DEVICE": "cpu",
    "VLLM_NO_USAGE_STATS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class UnavailableError(Exception):
    """A tool that cannot be had here, and why."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment of one tool."""

    name: str
    folder: Path
    interpreter: Path | None = None
    """Set where its user made the environment."""

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.interpreter or self.folder / self.name / "bin" / "python"

    def ready(self) -> None:
        """Make it unless it is there with these very pins. Raises `UnavailableError`.

        `NAME.torch.txt` is installed first and by pip alone, so that a CPU build that pip is set up to find is taken; `NAME.alone.txt`
        without dependencies, which for engines would be a CUDA stack; `NAME.txt` with them.
        """
        files = [
            path
            for kind in ("torch.", "alone.", "")
            if (path := HERE / "requirements" / f"{self.name}.{kind}txt").exists()
        ]
        wanted = "".join(path.read_text(encoding="utf-8") for path in files)
        stamp = self.folder / self.name / STAMP
        if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
            return
        try:
            self._fill(files)
        except subprocess.CalledProcessError as error:
            raise UnavailableError(
                f"its environment could not be made: {error.stderr[-400:].decode(errors='replace')}"
            ) from None
        stamp.write_text(wanted, encoding="utf-8")

    def _fill(self, files: list[Path]) -> None:
        place = self.folder / self.name
        _quietly(sys.executable, "-m", "venv", "--clear", str(place))
        uv = shutil.which("uv")
        for path in files:
            alone = ("--no-deps",) if path.name.endswith(".alone.txt") else ()
            if uv and not path.name.endswith(".torch.txt"):
                _quietly(uv, "pip", "install", "--python", str(self.python), *alone, "-r", str(path))
            else:
                _quietly(str(self.python), "-m", "pip", "install", *alone, "-r", str(path))

    def drive(self, driver: str, tasks: Path, out: Path) -> None:
        """Run a driver of ours in it. Raises `UnavailableError` when it ends without a verdict on anything."""
        module = f"evals.realtool.drivers.{driver}"
        code = RUN.format(root=str(ROOT), tasks=str(tasks), out=str(out), module=module)
        with (out.with_suffix(".log")).open("wb") as log:
            done = subprocess.run(
                [str(self.python), "-c", code], env={**os.environ, **OFFLINE}, stdout=log, stderr=log, check=False
            )
        if done.returncode and not (out.exists() and out.stat().st_size):
            raise UnavailableError(f"its driver ended with {done.returncode}: see {out.with_suffix('.log').name}")


def npm_file(folder: Path, package: str, version: str, path: str) -> str:
    """A file of a package of npm, fetched once and unpacked, not installed. Raises `UnavailableError`."""
    place = folder / "npm" / f"{package}-{version}"
    if not (place / "package" / path).exists():
        npm = shutil.which("npm")
        if npm is None:
            raise UnavailableError("npm is not installed")
        place.mkdir(parents=True, exist_ok=True)
        try:
            _quietly(npm, "pack", f"{package}@{version}", "--silent", "--pack-destination", str(place))
        except subprocess.CalledProcessError as error:
            raise UnavailableError(f"npm has no {package} {version}: {error.stderr[-200:]!r}") from None
        with tarfile.open(next(place.glob("*.tgz"))) as packed:
            packed.extractall(place, filter="data")
    return str(place / "package" / path)


def _quietly(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
