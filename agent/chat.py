"""A conversation about a plan: plan, refine, ask why, inspect, export. A thread is a JSON value; nothing else remembers.

What a message asks for is decided by patterns over its words, never by a model, and what the words become is a typed request: text that
asks for more than that has no effect.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from agent.deps import Deps
from agent.events import OnEvent
from agent.explain import figure
from agent.graph import run
from agent.inspect import inspect
from agent.why import WHY, Because, fits, weigh, why
from strategy.errors import MeshwrightError
from strategy.export import FORMATS, Plan
from strategy.request import Request
from strategy.result import Citation, Result
from strategy.strategy import describe_strategy
from strategy.values import Frozen

Kind = Literal["plan", "question", "why", "inspect", "export", "help"]
MAX_TURNS = 40
"""Turns that a thread keeps; older ones are forgotten, the plan is not."""
MAX_TEXT = 8_000
MAX_UNDO = 20
"""Requests that can be gone back to."""


class Turn(Frozen):
    """Something that was said."""

    role: Literal["user", "assistant"]
    text: str


class Thread(Frozen):
    """What a conversation remembers."""

    turns: tuple[Turn, ...] = ()
    result: Result | None = None
    """The last plan, or the last reason why there is none; it carries its request."""
    pending: str = ""
    """The text of a request that a question was asked about."""
    before: tuple[Request, ...] = ()
    """Requests that were planned earlier, the last one last: what `undo that` goes back to."""


class File(Frozen):
    """A file of an export."""

    name: str
    text: str


class Reply(Frozen):
    """What is answered."""

    kind: Kind
    text: str
    citations: tuple[Citation, ...] = ()
    result: Result | None = None
    """The new result, when one was planned."""
    files: tuple[File, ...] = ()


HELP = (
    "Tell me a model, GPUs and traffic, for example: Llama 3.1 70B on 2x8 H100, 4k in, 500 out, TTFT under 1 s. Then refine (`what if I only have 4?`, "
    "`make it fp8`, `TTFT matters more`), ask why (`why not TP8?`), inspect (`show the decode DAG`, `which rank holds layer 40?`, `memory`, "
    "`alternatives`) or export (`export vllm`)."
)
_EXPORT = re.compile(
    rf"\b(?:export|save|write|download|give\s+me|get|generate|emit|convert)\b.{{0,60}}?\b(?P<format>{'|'.join(map(re.escape, FORMATS))}|tensorrt(?:-llm)?)\b"
    r"|^\W*(?P<launch>(?:how\s+(?:do|can|would)\s+i|show\s+me\s+how\s+to|what\s+is\s+the\s+command\s+to|give\s+me\s+the)\s*(?:launch|serve|deploy|run|start|command))",
    re.IGNORECASE,
)
_BARE_EXPORT = re.compile(
    r"^\W*export(?:\s+(?:it|this|that|the\s+(?:plan|dag|graph)))?(?:\s+(?:as|to|for))?(?:\s+\S+)?\W*$", re.IGNORECASE
)
_INSPECT = re.compile(
    r"^\W*(?:(?:please|now|ok(?:ay)?|and)[ ,]+)*(?:show|draw|print|display|list|which|where|who|what(?:'s|\s+is|\s+are|\s+does|\s+did|\s+would)|how\s+much|(?:is|was|has)\s+(?:it|this|that|the\s+(?:plan|dag|graph|strategy))\b.{0,20}\b(?:proof|prov(?:ed|en))|tell\s+me|explain|inspect|describe|see)\b"
    r"|^\W*(?:memory|alternatives?|breakdown|bottleneck|timeline|proof|assumptions|findings|warnings|strategy|dag|graph|numbers|estimate|request)\W*$",
    re.IGNORECASE,
)
_LOOKED_AT = re.compile(
    r"\b(?:memory|breakdown|bottleneck|timeline|proof|prov(?:ed|en)|findings|strategy|dag|graph|numbers|rank|ranks|gpus?|layers?|experts?|stages?)\b",
    re.IGNORECASE,
)
_UNDO = re.compile(
    r"^\W*(?:(?:no|oh|ok(?:ay)?|hm+|sorry|please|actually|wait|then|can\s+you|could\s+you|let'?s|bitte)[\s,.]+)*(?:undo|revert|roll\s*back|go\s+back|step\s+back|scrap|forget|never\s*mind|cancel|take\s+(?:that|it|this)\s+back|discard|reset|zurück|rückgängig|mach\s+das\s+rückgängig|annule\w*|reviens|deshaz\w*|deshacer|vuelve|annulla|torna\s+indietro|desfaz\w*|volta|撤\s*销|撤\s*回|取消|还原|元に戻し\S*|戻して\S*|取り消\S*|되돌려\S*|취소\S*|отмени\w*|верни\w*)"
    r"(?:[\s,]+(?:to|the|that|this|it|all|of|everything|last|previous|one|step|change|changes|again|please|as|was|how|before|back|two|ça|cela|eso|das|alles|die|letzte|änderung|le|dernier|changement|o|último|que|was|were|things?|first|plan|request))*\W*$",
    re.IGNORECASE,
)
_GREETING = re.compile(r"^\W*(?:hi|hello|hey|help|thanks?(?:\s+you)?|thx|hallo|salut|bonjour|hola|what\s+can\s+you\s+do)\b[^0-9]{0,40}$", re.IGNORECASE)  # fmt: skip


async def turn(thread: Thread, text: str, deps: Deps, *, on_event: OnEvent | None = None) -> tuple[Thread, Reply]:
    """Answer one message. Errors of ours become an answer; the thread that comes back is the one to go on with."""
    said = text[:MAX_TEXT].strip()
    try:
        thread, reply = await _answer(thread, said, deps, on_event)
    except MeshwrightError as error:
        hint = getattr(error, "hint", "")
        reply = Reply(kind="help", text=f"{error}{f' ({hint})' if hint else ''}")
    turns = (*thread.turns, Turn(role="user", text=said), Turn(role="assistant", text=reply.text))[-MAX_TURNS:]
    return thread.model_copy(update={"turns": turns}), reply


async def _answer(thread: Thread, said: str, deps: Deps, on_event: OnEvent | None) -> tuple[Thread, Reply]:
    """The first reading of a message that makes sense."""
    if not said or _GREETING.match(said):
        return thread, Reply(kind="help", text=HELP)
    for read in _READINGS:
        answered = await read(thread, said, deps, on_event)
        if answered is not None:
            return answered
    return thread, Reply(kind="help", text=f"I did not understand that. {HELP}")


Answered = tuple[Thread, Reply] | None
Reading = Callable[[Thread, str, Deps, OnEvent | None], Awaitable[Answered]]


async def _exported(thread: Thread, said: str, deps: Deps, _on_event: OnEvent | None) -> Answered:
    match = _EXPORT.search(said)
    if match is None and thread.result is not None and _BARE_EXPORT.match(said):
        return thread, Reply(kind="help", text=f"Export as one of {', '.join(FORMATS)}, for example `export vllm`.")
    if match is None or thread.result is None:
        return None
    result = thread.result
    if result.dag is None or result.request is None:
        return thread, Reply(kind="export", text=f"There is nothing to export: the request is {result.status}.")
    name = (match["format"] or result.request.engine or "vllm").lower()
    name = "trtllm" if name.startswith("tensorrt") else name
    problem, _ = deps.resolve(result.request)
    plan = Plan(dag=result.dag, model=problem.model, problem=problem)
    artifacts = await asyncio.to_thread(FORMATS[name].write, plan)
    files = tuple(File(name=a.name, text=a.text) for a in artifacts if isinstance(a.content, str))
    told = "\n\n".join(f"# {file.name}\n{file.text.rstrip()}" for file in files)
    return thread, Reply(
        kind="export", text=told or f"{name} is a binary format: use `export` of the command line.", files=files
    )


async def _explained(thread: Thread, said: str, deps: Deps, _on_event: OnEvent | None) -> Answered:
    if WHY.match(said) is None:
        return None
    result = thread.result
    if result is None or result.request is None:
        return thread, Reply(kind="why", text=f"There is no plan yet to ask about. {HELP}")
    if result.estimate is None:
        because = await fits(said, result, deps) or Because(text=result.explanation, citations=result.citations)
    else:
        because = await why(said, result, deps)
    return thread, Reply(kind="why", text=because.text, citations=because.citations)


async def _inspected(thread: Thread, said: str, _deps: Deps, _on_event: OnEvent | None) -> Answered:
    if thread.result is None or _INSPECT.match(said) is None or _what_if(said):
        return None
    found = inspect(said, thread.result)
    if found is None and thread.result.strategy is None and _LOOKED_AT.search(said):
        found = f"There is no plan to look at: the request is {thread.result.status}. {thread.result.explanation}"
    return None if found is None else (thread, Reply(kind="inspect", text=found))


def _what_if(said: str) -> bool:
    """Whether a question proposes a change instead of asking about the plan."""
    return re.search(r"\bwhat\s+(?:if|about|would\s+happen)\b", said, re.IGNORECASE) is not None


async def _undone(thread: Thread, said: str, deps: Deps, on_event: OnEvent | None) -> Answered:
    """Back to the request before the last change."""
    if _UNDO.match(said) is None or thread.result is None:
        return None
    if not thread.before:
        return thread, Reply(kind="help", text="There is nothing to undo: this is the first plan of our conversation.")
    kept, reply = await _planned(thread, thread.before[-1], ("back to the request before",), deps, on_event)
    return kept.model_copy(update={"before": thread.before[:-1]}), reply


async def _weighed(thread: Thread, said: str, deps: Deps, _on_event: OnEvent | None) -> Answered:
    """A question about another choice: it is planned beside, and the plan stays (`would fp8 help?`)."""
    from agent.understand.changes import asks_only

    result = thread.result
    if result is None or result.request is None or result.estimate is None or not asks_only(said):
        return None
    because = await weigh(said, result, deps, named=True)
    return None if because is None else (thread, Reply(kind="why", text=because.text, citations=because.citations))


async def _unanswered(thread: Thread, said: str, deps: Deps, _on_event: OnEvent | None) -> Answered:
    """A question that nothing else answered: it changes nothing; what our pages say about it."""
    from agent.understand.changes import asks_only

    if thread.result is None or not asks_only(said):
        return None
    because = await weigh(said, thread.result, deps) if thread.result.estimate is not None else None
    if because is not None:
        return thread, Reply(kind="why", text=because.text, citations=because.citations)
    found = deps.search_sections(said, 3)
    if not found:
        return None
    told = "; ".join(f"{section.title} ({section.ref})" for section in found)
    cited = tuple(Citation(ref=section.ref, title=section.title) for section in found)
    return thread, Reply(
        kind="inspect",
        text=f"{'Nothing is changed' if thread.result.strategy is None else 'The plan stays as it is'}. What is written about that: {told}.",
        citations=cited,
    )


async def _whole_request(thread: Thread, said: str, deps: Deps, on_event: OnEvent | None) -> Answered:
    """A request of its own, or the answer to a question about one."""
    if thread.pending:
        joined = f"{thread.pending}, {said}"
        request, _, _ = await asyncio.to_thread(deps.understand, joined)
        if request is not None or thread.result is None:
            return await _planned(thread, joined, None, deps, on_event)
    request, _, assumptions = await asyncio.to_thread(deps.understand, said)
    if thread.result is None or (request is not None and not _goes_on(request, assumptions, thread)):
        return await _planned(thread, said, None, deps, on_event)
    return None


def _goes_on(request: Request, assumptions: Sequence[str], thread: Thread) -> bool:
    """Whether a text that names a model and GPUs but no traffic goes on about the traffic of before."""
    silent = all(
        any(note.startswith(f"{name} ") and "the text gives no" in note for note in assumptions)
        for name in ("isl", "osl")
    )
    load = request.workload.concurrency or request.workload.request_rate
    return thread.result is not None and thread.result.request is not None and silent and load is None


async def _refined(thread: Thread, said: str, deps: Deps, on_event: OnEvent | None) -> Answered:
    """A change of the request that was planned last."""
    from agent.understand.changes import understand_change

    if thread.result is None or thread.result.request is None:
        return None
    last = _changed_fields(thread.before[-1], thread.result.request) if thread.before else ()
    changed = await asyncio.to_thread(understand_change, said, thread.result.request, None, last)
    if changed.question is not None:
        return thread, Reply(kind="question", text=changed.question)
    if changed.same:
        return thread, Reply(kind="inspect", text="The request says that already: the plan stays as it is.")
    if changed.request is None:
        return None
    return await _planned(thread, changed.request, changed.assumptions, deps, on_event)


def _changed_fields(before: Request, after: Request) -> tuple[str, ...]:
    """Fields of workload and limits in which two requests differ."""
    parts = [(getattr(before, name), getattr(after, name)) for name in ("workload", "slo")]
    return tuple(field for a, b in parts for field in type(a).model_fields if getattr(a, field) != getattr(b, field))


async def _planned(
    thread: Thread, asked: Request | str, assumed: tuple[str, ...] | None, deps: Deps, on_event: OnEvent | None
) -> tuple[Thread, Reply]:
    result = await run(asked, deps, on_event=on_event)
    if result.status == "needs_clarification":
        pending = asked if isinstance(asked, str) else ""
        kept = thread.model_copy(update={"pending": pending[-MAX_TEXT:]})
        return kept, Reply(kind="question", text=result.question or "What shall be planned?", result=result)
    if assumed:
        result = result.model_copy(update={"assumptions": tuple(dict.fromkeys([*assumed, *result.assumptions]))})
    text = _told(result, thread.result)
    was = thread.result.request if thread.result is not None else None
    past = (*thread.before, was)[-MAX_UNDO:] if was is not None and was != result.request else thread.before
    kept = thread.model_copy(update={"result": result, "pending": "", "before": past})
    return kept, Reply(kind="plan", text=text, citations=result.citations, result=result)


def _told(result: Result, before: Result | None) -> str:
    """The result in words, what was assumed, and how it compares with the plan before."""
    parts = [result.explanation]
    if result.strategy is not None and before is not None and before.strategy is not None:
        parts.append(_moved(result, before))
    if result.assumptions:
        parts.append("Assumed: " + "; ".join(note.rstrip(".") for note in result.assumptions) + ".")
    return "\n\n".join(part for part in parts if part)


def _moved(result: Result, before: Result) -> str:
    assert result.strategy is not None
    assert before.strategy is not None
    if result.strategy == before.strategy:
        shape = "The strategy stays the same"
    else:
        shape = f"Before it was {describe_strategy(before.strategy)}; now it is {describe_strategy(result.strategy)}"
    if result.estimate is None or before.estimate is None:
        return f"{shape}."
    rows = (
        ("TTFT", "ttft_ms", "ms"),
        ("TPOT", "tpot_ms", "ms"),
        ("throughput", "tokens_per_s_per_gpu", "tokens/s/GPU"),
    )
    told = [
        f"{label} {figure(getattr(before.estimate, f))} -> {figure(getattr(result.estimate, f))} {unit}"
        for label, f, unit in rows
    ]
    return f"{shape}: {', '.join(told)}."


_READINGS: tuple[Reading, ...] = (
    _undone, _exported, _explained, _weighed, _inspected, _whole_request, _refined, _unanswered
)  # fmt: skip
