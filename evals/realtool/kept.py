"""What tools said of the same plans in earlier runs, so that a slow tool can be asked alone and still stand in the table."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

from evals.realtool.files import Corpus
from evals.realtool.judges import Said, Verdict


class Kept:
    """Verdicts by tool, in a folder; those on other plans are forgotten."""

    def __init__(self, folder: Path, corpus: Corpus, seed: int) -> None:
        told = [(name, plan.strategy.model_dump_json()) for name, plan in corpus.plans.items()]
        self.folder, self.plans = folder, hashlib.sha256(json.dumps([seed, told]).encode()).hexdigest()

    def after(self, tool: str, said: Said) -> Said:
        """Keep what a tool said just now, and hand it on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        record = {"plans": self.plans, "date": f"{datetime.now(UTC):%Y-%m-%d}", "said": said}
        (self.folder / f"{tool}.json").write_text(json.dumps(record), encoding="utf-8")
        return said

    def latest(self, tool: str) -> tuple[str, Said]:
        """The date of what a tool said last of these plans, and what it was."""
        path = self.folder / f"{tool}.json"
        if not path.exists():
            return "", "not asked"
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["plans"] != self.plans:
            return "", "not asked since the plans changed"
        said = record["said"]
        return record["date"], said if isinstance(said, str) else [Verdict(*one) for one in said]
