"""The order in which a text is rewritten before it is read: each step says the same in a form that the next one, and the extractors, read.

Three lists. `TYPED` works on the text as it came; behind it numbers are digits and words are English (`Scan`). `SAID` ends with the text
that counts: every place that an extractor speaks of is a place of it. `MEANT` takes out of that text, letter for letter, what it only
tells of; what is left is what extractors eat from. A step that takes something for granted notes it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from agent.understand.asides import without_measures
from agent.understand.clusters import unknown_gpus
from agent.understand.corrections import ENGINE_NAMES, corrected, without_past
from agent.understand.estimates import with_plain_numbers, with_plain_seconds, with_plain_thousands
from agent.understand.extremes import without_extremes
from agent.understand.instances import with_plain_hosts, with_plain_replicas
from agent.understand.keys import with_plain_keys
from agent.understand.lines import with_plain_lines
from agent.understand.names import Vocabulary
from agent.understand.notes import Notes
from agent.understand.scan import MAX_CHARACTERS, Scan
from agent.understand.sites import without_other_sites
from agent.understand.spelling import spelled
from agent.understand.spoken import spoken
from agent.understand.sums import with_plain_sums
from agent.understand.tables import with_plain_tables, without_runs
from agent.understand.told import without_told
from agent.understand.uncounted import without_dates, without_struck


@dataclass(frozen=True)
class Reader:
    """What a step may look at beside the text: known names, where to note what it takes for granted, whether a request is known already."""

    models: Vocabulary
    gpus: Vocabulary
    notes: Notes
    followed: bool


Step = Callable[[str, Reader], str]

TYPED: tuple[Step, ...] = (
    lambda text, _: without_runs(text)[:MAX_CHARACTERS],
    lambda text, by: with_plain_lines(text, by.models, by.gpus, by.notes),
    lambda text, _: spoken(text),
    lambda text, _: with_plain_thousands(text),
    lambda text, by: with_plain_tables(text, by.notes),
    lambda text, _: with_plain_keys(text),
    lambda text, by: with_plain_hosts(text, by.notes),
)
"""Mail, speech, tables, keys and machines in plain lines."""
SAID: tuple[Step, ...] = (
    lambda text, _: with_plain_seconds(text),
    lambda text, by: spelled(text, by.models.unlike_words, by.notes),
    lambda text, by: with_plain_sums(text, by.notes),
    lambda text, by: with_plain_numbers(text, by.notes),
    lambda text, by: with_plain_replicas(text, by.models),
    lambda text, by: without_other_sites(text, by.gpus, by.notes),
    lambda text, by: without_extremes(text, by.notes),
    lambda text, by: without_struck(text, by.notes),
    lambda text, by: corrected(text, (by.models, by.gpus, ENGINE_NAMES), by.notes),
)
"""Spelling, numbers and corrections, in English with digits."""
MEANT: tuple[Step, ...] = (
    lambda text, _: without_dates(text),
    lambda text, by: without_past(text, by.models, by.notes),
    lambda text, by: without_told(
        text, (by.models, ENGINE_NAMES, by.gpus), unknown_gpus, by.notes, followed=by.followed
    ),
    lambda text, by: without_measures(text, by.notes),
)
"""Without dates, the past, other people and measures; every place stays where it was."""


def scanned(text: str, models: Vocabulary, gpus: Vocabulary, notes: Notes, *, followed: bool = False) -> Scan:
    """The text as the extractors read it."""
    reader = Reader(models, gpus, notes, followed)
    scan = Scan(_through(TYPED, text, reader))
    scan.original = notes.text = _through(SAID, scan.original, reader)
    scan.text = _through(MEANT, scan.original, reader)
    return scan


def _through(steps: tuple[Step, ...], text: str, reader: Reader) -> str:
    """The text after every step."""
    for step in steps:
        text = step(text, reader)
    return text
