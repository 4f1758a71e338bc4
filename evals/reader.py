"""A model without knowledge: it does what the prompt says and knows nothing else. What it cannot do, the prompt does not tell.

It reads what a language model reads (the messages), takes the example answer as its form, the legal degrees and the memory from the
request, and mends what the findings name.
"""

import copy
import json
import re
from collections.abc import Sequence
from typing import Any

from evals.faulty.repairer import repaired
from strategy.result import Finding

Json = dict[str, Any]
Messages = Sequence[tuple[str, str]]
ROOM = 1.15
"""Weights may take this much less than what is usable: activations and buffers need some."""


def answer_from(messages: Messages) -> Json:
    """A whole answer by what the messages say. Raises LookupError when they lack what it takes."""
    request, answer = section(messages, "request"), example(messages)
    pool = answer["strategy"]["pools"][0]
    tp = _smallest_that_fits(request)
    layers = request["model"]["num_layers"]
    pool |= {"pp_size": 1, "stages": [[0, layers]], "microbatches": 1}
    pool["replicas"] = request["cluster"]["gpus"] // tp
    pool["attention"] = {"dp_size": 1, "cp_size": 1, "tp_size": tp}
    if request["model"].get("moe"):
        pool["experts"] = {"dp_size": 1, "ep_size": 1, "tp_size": tp}
        pool["ep_lowering"] = "replicated"
        if tp not in request["legal"]["experts_tp_size"]:
            pool["experts"] = {"dp_size": 1, "ep_size": tp, "tp_size": 1}
    return answer


def _smallest_that_fits(request: Json) -> int:
    memory, gpus = request["memory"], request["cluster"]["gpus"]
    for tp in request["legal"]["tp_size"]:
        fits = memory["weights_gb"] / tp * ROOM + memory["kv_gb_of_one_sequence"] <= memory["usable_gb_per_gpu"]
        if fits and gpus % tp == 0:
            return int(tp)
    raise LookupError("no legal tp_size of the prompt fits the memory of the prompt")


def mended_from(messages: Messages) -> Json:
    """The candidate of the messages after their findings were followed."""
    rows = [json.loads(line) for line in _inside(messages, "findings").splitlines()]
    findings = [Finding(severity="error", **row) for row in rows]
    return repaired(section(messages, "candidate"), findings)


def section(messages: Messages, name: str) -> Json:
    """The JSON between `<name>` and `</name>`."""
    found: Json = json.loads(_inside(messages, name))
    return found


def _inside(messages: Messages, name: str) -> str:
    text = "\n".join(text for _, text in messages)
    found = re.findall(rf"^<{name}>\n(.*?)\n</{name}>", text, re.DOTALL | re.MULTILINE)
    if not found:
        raise LookupError(f"the prompt has no <{name}>")
    return str(found[-1])


def example(messages: Messages) -> Json:
    """The example answer, as a form to fill in."""
    text = "\n".join(text for _, text in messages)
    at = text.find("# Example answer")
    if at < 0:
        raise LookupError("the prompt has no example answer")
    found: Json = json.JSONDecoder().raw_decode(text, text.index("{", at))[0]
    return copy.deepcopy(found)
