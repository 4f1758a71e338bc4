"""What tools said in earlier runs, so that a slow tool can be asked alone, or only about what is new, and still stand in the table."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evals.realtool.files import Corpus
from evals.realtool.judges import Judge, Said, Verdict
from validators.artifacts import DEPLOYMENTS


class Kept:
    """Verdicts by tool and plan, in a folder. One counts as long as the files that it is about are the same."""

    def __init__(self, folder: Path, corpus: Corpus) -> None:
        self.folder, self.corpus = folder, corpus

    def after(self, judge: Judge, said: Said) -> Said:
        """Keep what a tool said just now, beside what it said of other plans, and hand it on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        verdicts: Iterable[Verdict] = [] if isinstance(said, str) else said
        marks, today = _marks(self.corpus, judge), f"{datetime.now(UTC):%Y-%m-%d}"
        rows = self._read(judge) | {one.plan: [marks[one.plan], today, *one] for one in verdicts}
        self._path(judge).write_text(json.dumps(rows), encoding="utf-8")
        return said

    def latest(self, judge: Judge) -> tuple[str, Said]:
        """What a tool said last of these plans, and when it said the oldest of it."""
        marks, rows = _marks(self.corpus, judge), self._read(judge)
        fresh = [row for name, row in rows.items() if marks.get(name) == row[0]]
        if not fresh:
            return "", "not asked since the plans changed" if rows else "not asked"
        return min(row[1] for row in fresh), [Verdict(*row[2:]) for row in fresh]

    def unasked(self, judge: Judge) -> Corpus:
        """The plans of which the tool has accepted nothing yet."""
        marks, rows = _marks(self.corpus, judge), self._read(judge)
        settled = {name for name, row in rows.items() if marks.get(name) == row[0] and Verdict(*row[2:]).accepted}
        return replace(
            self.corpus,
            plans={name: plan for name, plan in self.corpus.plans.items() if name not in settled},
            exports=[one for one in self.corpus.exports if one.plan not in settled],
        )

    def _path(self, judge: Judge) -> Path:
        return self.folder / f"{judge.name}.by-plan.json"

    def _read(self, judge: Judge) -> dict[str, list[Any]]:
        path = self._path(judge)
        read: dict[str, list[Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return read


def _marks(corpus: Corpus, judge: Judge) -> dict[str, str]:
    """A digest of what the tool is given of each plan: the files of a deployment; for pictures and traces, which take long to write, their DAG."""
    if judge.target in DEPLOYMENTS:
        made = (one for one in corpus.exports if one.target == judge.target and one.files)
        return {
            one.plan: _digest(part for file in one.files for part in (file.name.encode(), file.data)) for one in made
        }
    return {name: _digest([plan.dag.model_dump_json().encode()]) for name, plan in corpus.plans.items()}


def _digest(parts: Iterable[bytes]) -> str:
    mark = hashlib.sha256()
    for part in parts:
        mark.update(part + b"\0")
    return mark.hexdigest()[:32]
