"""Words that look like a wish and were not understood: said back, never silently dropped."""

from agent.understand.notes import Notes
from agent.understand.scan import EATEN, Scan, compiled

MOST = 6
LONGEST = 80
_CLAUSE = compiled(r"[,;\n]|\.(?:\s|$)|\?|!|\b(?:and|with|but|while|und|et|y)\b")
_PADDING = compiled(
    r"^(?:\s|[-:()'\"/]|\b(?:in|on|of|for|at|to|the|a|an|it|is|be|with|we|i|must|should|want|need|per|use|plan|please|that|our|my|using|under)\b)+|(?:\s|[-:()'\"/])+$"
)
_CUE = compiled(
    r"\d|\b(?:must|only|never|no|not|without|avoid|require[sd]?|latency|throughput|budget|power|watts?|cost|price|dollars?|sla|slo|spec(?:ulative)?|mtp|lora|"
    r"offload\w{0,4}|quanti[sz]\w{0,5}|percentile|redundan\w{0,4}|fail\w{0,6}|availability|ethernet|infiniband|nvlink|pcie|roce|utili[sz]ation|at\s+least|at\s+most|priority|first\s+token|per\s+token|one\s+second)\b|\$"
)


def note_leftovers(scan: Scan, notes: Notes) -> None:
    """Assume nothing silently: each clause left over that carries a number or a constraint word is listed as ignored."""
    said = 0
    for clause in _CLAUSE.split(scan.text):
        rest = _PADDING.sub("", " ".join(clause.replace(EATEN, " ").split()))
        if rest and _CUE.search(rest):
            said += 1
            if said <= MOST:
                notes.assume(f"ignored: `{rest[:LONGEST]}` (not understood)")
    if said > MOST:
        notes.assume(f"ignored: {said - MOST} more clauses")
