"""How a driver talks: a list of tasks in, one verdict a line out. Only the standard library, so that it runs in any environment."""

import contextlib
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

MAX_DETAIL = 600

Task = dict[str, Any]
Judge = Callable[[Task], Any]


def serve(judge: Judge) -> None:
    """Judge every task of the file named first and write verdicts into the file named second."""
    with open(sys.argv[1], encoding="utf-8") as given, open(sys.argv[2], "w", encoding="utf-8") as out:  # noqa: PTH123 (one way in every tool's Python)
        for task in json.load(given):
            out.write(json.dumps(verdict(judge, task)) + "\n")
            out.flush()


def verdict(judge: Judge, task: Task) -> dict[str, Any]:
    """What the tool said: `facts` that it read, or why it refused."""
    start, said = time.perf_counter(), io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            facts = judge(task)
    except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever a tool raises is its verdict)
        detail = f"{type(error).__name__}: {error}; {said.getvalue()[-MAX_DETAIL:]}"
        return {"id": task["id"], "accepted": False, "detail": " ".join(detail.split())[-2 * MAX_DETAIL :]}
    return {"id": task["id"], "accepted": True, "facts": facts, "seconds": round(time.perf_counter() - start, 3)}


@contextlib.contextmanager
def environment(given: dict[str, str], of: Any) -> Iterator[None]:
    """`of` (the process' environment) with `given` in it for a while."""
    before = dict(of)
    of.update(given)
    try:
        yield
    finally:
        of.clear()
        of.update(before)
