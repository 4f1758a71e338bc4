"""Pictures and traces before the tools that read them: Graphviz, networkx, Mermaid in Chromium, Perfetto's schema."""

import io
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from evals.realtool.drivers import protocol

MERMAID = """async text => { mermaid.initialize({startOnLoad: false});
const drawn = await mermaid.render('picture', text); return drawn.svg.length; }"""


def judge(task: protocol.Task) -> dict[str, Any]:
    """One file, by the tool that the task names."""
    return TOOLS[task["kind"]](task)


def dot(task: protocol.Task) -> dict[str, Any]:
    """Graphviz draws it."""
    drawn = subprocess.run(["dot", "-Tsvg"], input=task["text"], capture_output=True, text=True, check=False)  # noqa: S607 (a tool of the system)
    assert drawn.returncode == 0, drawn.stderr
    assert "<svg" in drawn.stdout
    return {"bytes": len(drawn.stdout)}


def graphml(task: protocol.Task) -> dict[str, Any]:
    """Networkx reads it."""
    import networkx as nx

    graph = nx.read_graphml(io.BytesIO(task["text"].encode()), force_multigraph=True)
    return {"nodes": graph.number_of_nodes(), "edges": graph.number_of_edges()}


@cache
def _page(script: str, browser: str) -> Any:
    from playwright.sync_api import sync_playwright

    page = sync_playwright().start().chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page()
    page.set_content("<div></div>")
    page.add_script_tag(path=script)
    return page


def mermaid(task: protocol.Task) -> dict[str, Any]:
    """Mermaid renders it in Chromium with its default limits."""
    return {"bytes": _page(task["script"], task["browser"]).evaluate(MERMAID, task["text"])}


def perfetto(task: protocol.Task) -> dict[str, Any]:
    """Perfetto's published schema parses every packet."""
    from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema

    trace = schema.Trace()
    trace.ParseFromString(Path(task["path"]).read_bytes())
    kinds = [packet.WhichOneof("data") for packet in trace.packet]
    assert set(kinds) == {"track_descriptor", "track_event"}, set(kinds)
    begins = sum(packet.track_event.type == 1 for packet in trace.packet if packet.HasField("track_event"))
    ends = sum(packet.track_event.type == 2 for packet in trace.packet if packet.HasField("track_event"))
    assert begins == ends, (begins, ends)
    return {"slices": begins}


TOOLS = {"dot": dot, "graphml": graphml, "mermaid": mermaid, "perfetto": perfetto}

if __name__ == "__main__":
    protocol.serve(judge)
