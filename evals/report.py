"""A log as a page that people read: totals per scorer, then every sample, failures first."""

from collections import defaultdict

from evals.log import Entry, Log


def to_markdown(log: Log) -> str:
    """The report of one run."""
    passed = sum(entry.passed for entry in log.entries)
    lines = [
        f"# {log.header.suite}: {passed} of {len(log.entries)} samples passed",
        "",
        f"proposer `{log.header.proposer}`, meshwright {log.header.version}",
        "",
        "| scorer | right | of |",
        "|---|---|---|",
        *(f"| {name} | {right:g} | {count} |" for name, (right, count) in _totals(log).items()),
        "",
        "| sample | passed | seconds | outcome |",
        "|---|---|---|---|",
        *(_row(entry) for entry in sorted(log.entries, key=lambda e: e.passed)),
    ]
    return "\n".join(lines) + "\n"


def _totals(log: Log) -> dict[str, tuple[float, int]]:
    totals: dict[str, tuple[float, int]] = defaultdict(lambda: (0.0, 0))
    for entry in log.entries:
        for score in entry.scores:
            right, count = totals[score.scorer]
            totals[score.scorer] = (right + score.value, count + 1)
    return dict(totals)


def _row(entry: Entry) -> str:
    wrong = [f"{score.scorer}: {score.detail}" for score in entry.scores if score.value < 1]
    outcome = entry.error or "; ".join(wrong) or str(entry.output.get("summary", ""))
    return f"| {entry.sample} | {'yes' if entry.passed else '**no**'} | {entry.ms / 1e3:.2f} | {outcome.replace('|', '/')} |"
