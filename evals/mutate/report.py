"""A tally as a page: totals, recall and precision by mutation and by rule, coverage, disagreements."""

from collections import Counter

from evals.mutate.campaign import Tally
from evals.mutate.judge import REASONS

AGREEMENTS = ("caught", "harmless", "refused", "missed", "unexplained")


def to_markdown(tally: Tally) -> str:
    """The report of a campaign."""
    return "\n".join([
        f"# {tally.mutants:,} mutants of {tally.strategies:,} strategies",
        "",
        f"Recall {tally.recall:.2%}: of the mutants that change the numbers, the rules reject this share before the proof.",
        f"Precision {tally.precision:.2%}: of the mutants that the rules reject, this share changes the numbers or has a stated reason.",
        f"One mistake, one code: {tally.told_once:.1%} of the rejected mutants with one mistake are told one code.",
        f"{len(tally.disagreements)} disagreements.",
        "",
        *_table("mutation", tally.outcomes),
        *_table("rule", tally.by_rule),
        "## Reasons to refuse what computes the right numbers",
        "",
        *(f"- {code}: {reason.text}" for code, reason in sorted(REASONS.items())),
        "",
        "## Coverage",
        "",
        *(f"- {trait}: {count}" for trait, count in sorted(tally.covered.items())),
        "",
        "## Disagreements",
        "",
        *(f"- {story}" for story in tally.disagreements),
        "",
    ])  # fmt: skip


def _table(title: str, counts: Counter[tuple[str, str]]) -> list[str]:
    names = sorted({name for name, _ in counts})
    rows = [
        f"| {name} | {' | '.join(str(counts[name, a]) for a in AGREEMENTS)} | {_rates(counts, name)} |"
        for name in names
    ]
    heads = [title, *AGREEMENTS, "recall", "precision"]
    return [f"## By {title}", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows, ""]


def _rates(counts: Counter[tuple[str, str]], name: str) -> str:
    caught, refused = counts[name, "caught"], counts[name, "refused"]
    departing, rejected = caught + counts[name, "missed"], caught + refused + counts[name, "unexplained"]
    recall = f"{caught / departing:.1%}" if departing else "-"
    return f"{recall} | {f'{(caught + refused) / rejected:.1%}' if rejected else '-'}"
