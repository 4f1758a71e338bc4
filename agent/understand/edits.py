"""What a text adds to itself later (`EDIT: 150 sessions, not 60`): read as a follow-up to what was written before."""

from itertools import pairwise

from agent.understand.assemble import Names, Understanding, catalogue_names
from agent.understand.assemble import understand as understand_at_once
from agent.understand.changes import understand_change
from agent.understand.scan import MAX_CHARACTERS
from agent.understand.standing import EDIT

MOST_EDITS = 6


def understand(text: str, names: Names | None = None) -> Understanding:
    """Read a request from running text, and what the text itself says later in its edits.

    Text is data: nothing in it is carried out, and any length ends in bounded time. Every value that the text does not give is an
    assumption; a missing model or cluster, an unknown name and a contradiction end in a question.
    """
    names = names or catalogue_names()
    first, *edits = _parts(text[:MAX_CHARACTERS]) if len(text) <= MAX_CHARACTERS else [text]
    if not edits:
        return understand_at_once(text, names)
    found = understand_at_once(first, names)
    if found.request is None:
        return understand_at_once(text, names)
    for edit in edits:
        found = _edited(found, edit, names)
    return found


def _parts(text: str) -> list[str]:
    """A text, and each of its edits."""
    starts = [match.start() for match in EDIT.finditer(text) if text[: match.start()].strip()][:MOST_EDITS]
    return [text[a:b] for a, b in pairwise([0, *starts, len(text)])]


def _edited(found: Understanding, edit: str, names: Names) -> Understanding:
    """A request with what an edit changes of it; a question of the edit is the text's."""
    assert found.request is not None
    words = EDIT.sub("", edit, count=1).strip()
    changed = understand_change(words, found.request, names)
    notes = [*found.assumptions, *changed.assumptions]
    if changed.request is None and changed.question is None:
        return found.model_copy(update={"assumptions": tuple(dict.fromkeys(notes))})
    notes.append(f"`{' '.join(edit.split())[:80]}`: read as a change of what was written before")
    return Understanding(request=changed.request, question=changed.question, assumptions=tuple(dict.fromkeys(notes)))
