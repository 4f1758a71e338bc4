"""What code a run ran: the commit where git knows one, and a digest of the sources either way."""

import hashlib
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("agent", "evals", "knowledge", "strategy", "validators")
SUFFIXES = frozenset({".py", ".md", ".yaml", ".json", ".txt"})
NOT_CODE = "baseline"
"""Folder of accepted scores: accepting them changes no behaviour."""


def commit() -> str:
    """Short commit id, with `+` when files differ from it; empty outside a checkout or without git."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return head and head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 (fixed arguments)
            ["git", "-C", str(ROOT), *arguments],  # noqa: S607 (whichever git is on the PATH)
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@cache
def digest() -> str:
    """Fingerprint of every source and data file that a score may depend on."""
    found = hashlib.sha256()
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and NOT_CODE not in path.parts:
                found.update(str(path.relative_to(ROOT)).encode())
                found.update(path.read_bytes())
    return found.hexdigest()[:16]
