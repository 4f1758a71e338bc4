"""What a reply of a language model says: refusal, truncation, a whole answer, or a patch of the last one. Knows no vendor."""

import json
from typing import Any

import jsonpatch
import jsonpointer
from pydantic import ValidationError

from agent.proposers import Brief, Proposal
from agent.wire import PatchAnswer, completed, decode, parse_json, shape_findings
from strategy.result import Finding, Usage
from strategy.values import Frozen

MAX_REASON_CHARACTERS = 2_000
MAX_CITATIONS = 20
BROKEN = (TypeError, AttributeError, ValueError, KeyError, IndexError, RecursionError)
"""What code that trusts a reply's shape raises on one that has another."""


class Reply(Frozen):
    """A reply as it came, or why none came."""

    text: str = ""
    refusal: str = ""
    """The model's refusal, or what stopped it."""
    cut: bool = False
    """It ended at the token limit."""
    failure: str = ""
    """Why there is no reply; short, without keys and addresses."""
    usage: Usage = Usage()


def read_reply(reply: Reply, brief: Brief) -> Proposal:
    """The proposal that a reply makes. Never raises: what cannot be used becomes an outcome with its findings."""
    if reply.failure:
        return Proposal(outcome="failed", text=reply.failure, usage=reply.usage)
    if reply.refusal:
        return Proposal(outcome="refused", text=_plain(reply.refusal, 300), usage=reply.usage)
    if reply.cut:
        return _cut_short(reply)
    try:
        document = parse_json(reply.text)
    except (ValueError, RecursionError) as error:
        return _unparsable(reply, brief, str(error))
    wants_patch = brief.mode == "patch" and "strategy" not in document  # a whole answer is as welcome as a patch
    return _patched(document, brief, reply.usage) if wants_patch else _answered(document, brief, reply.usage)


def _answered(document: dict[str, Any], brief: Brief, usage: Usage) -> Proposal:
    """A whole answer, as the domain values it stands for or the shape errors it has."""
    document = completed(document, brief.problem.model)
    decoded = decode(document, brief.problem.model)
    why, citations = document.get("why"), document.get("citations")
    return Proposal(
        outcome="candidate" if decoded.dag is not None else "unparsable",
        strategy=decoded.strategy,
        dag=decoded.dag,
        document=document,
        wrote_graph=document.get("graph") is not None,
        text=_plain(why, MAX_REASON_CHARACTERS) if isinstance(why, str) else "",
        findings=decoded.findings,
        usage=usage,
        citations=tuple(str(c)[:200] for c in citations[:MAX_CITATIONS]) if isinstance(citations, list) else (),
    )


def _patched(document: dict[str, Any], brief: Brief, usage: Usage) -> Proposal:
    """The last answer with a patch applied; a patch that does not apply keeps the findings it was to cure."""
    try:
        patch = PatchAnswer.model_validate(document)
        operations = [
            {"op": o.op, "path": o.path, "value": None if o.value_json is None else json.loads(o.value_json)}
            for o in patch.patch
        ]
        changed = parse_json(json.dumps(jsonpatch.apply_patch(brief.last, operations)))
    except ValidationError as error:
        return _bad_patch(brief, usage, shape_findings(error)[0].message)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, *BROKEN) as error:
        return _bad_patch(brief, usage, str(error))
    return _answered(changed, brief, usage)


def _bad_patch(brief: Brief, usage: Usage, why: str) -> Proposal:
    finding = _finding(
        "BAD_PATCH", f"the patch does not apply: {_plain(why, 160)}", "answer with the whole JSON object"
    )
    kept = tuple(f for f in brief.findings if f.code != "BAD_PATCH")
    return Proposal(outcome="unparsable", document=brief.last, findings=(finding, *kept), usage=usage)


def _unparsable(reply: Reply, brief: Brief, why: str) -> Proposal:
    message = f"the answer is not one JSON object: {_plain(why, 160)}"
    finding = _finding("JSON", message, "answer with the JSON object only")
    return Proposal(
        outcome="unparsable", text=_plain(reply.text, 500), usage=reply.usage, findings=(finding,), document=brief.last
    )


def _cut_short(reply: Reply) -> Proposal:
    finding = _finding(
        "TRUNCATED", "the answer was cut at the token limit", "answer shorter: `graph` null, a short `why`"
    )
    return Proposal(outcome="truncated", text=_plain(reply.text, 500), findings=(finding,), usage=reply.usage)


def _plain(text: str, limit: int) -> str:
    """One line of printable text: no control characters reach a terminal, no half characters an encoder."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:limit]).split())


def _finding(code: str, message: str, hint: str) -> Finding:
    return Finding(code=code, severity="error", path="", message=message, hint=hint)
