"""The MCP tools, through the official client."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import yaml

from evals.service.model import slow_model
from evals.service.processes import Process, running


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("mcp")
    settings = {"MESHWRIGHT_DATABASE": f"sqlite:{folder}/meshwright.sqlite3", "MESHWRIGHT_MCP": "true"}
    process = Process("serve", settings, folder)
    with running(process):
        yield f"{process.url}/mcp"


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Any]:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async with streamable_http_client(url) as streams, ClientSession(streams[0], streams[1]) as made:
        await made.initialize()
        yield made


def test_the_tools_are_listed_with_what_they_are_for(url: str) -> None:
    async def listed() -> dict[str, str]:
        async with session(url) as mcp:
            return {tool.name: tool.description or "" for tool in (await mcp.list_tools()).tools}

    tools = anyio.run(listed)

    assert tools.keys() == {"plan", "validate", "estimate", "export", "explain_rule"}
    assert all(tools.values())


def test_a_plan_goes_through_the_other_tools(url: str) -> None:
    async def use() -> tuple[Any, Any, Any]:
        async with session(url) as mcp:
            planned = await mcp.call_tool("plan", {"request": "Llama 3.1 8B on 2 L40S, 1k in, 100 out"})
            document = json.dumps(planned.structured_content)
            judged = await mcp.call_tool("validate", {"document": document})
            drawn = await mcp.call_tool("export", {"document": document, "to": "yaml"})
            return planned.structured_content, judged.structured_content, drawn.structured_content

    planned, judged, drawn = anyio.run(use)

    assert planned["status"] == "valid"
    assert judged["valid"] is True
    assert yaml.safe_load(drawn["files"][0]["text"])["model"] == "llama-3.1-8b"


def test_what_cannot_be_used_is_told_in_words(url: str) -> None:
    async def ask() -> Any:
        async with session(url) as mcp:
            return await mcp.call_tool("explain_rule", {"code": "TP01"})

    answer = anyio.run(ask)

    assert answer.is_error
    assert "did you mean" in answer.content[0].text


def test_a_client_that_leaves_a_plan_stops_its_call(tmp_path: Path) -> None:
    with slow_model(30) as model:
        settings = {
            "MESHWRIGHT_DATABASE": f"sqlite:{tmp_path}/meshwright.sqlite3",
            "MESHWRIGHT_MCP": "true",
            "MESHWRIGHT_PROPOSER": "llm",
            "MESHWRIGHT_LLM__BASE_URL": model.url,
            "MESHWRIGHT_LLM__MODEL": "slow",
            "MESHWRIGHT_LLM__MAX_RETRIES": "0",
        }
        process = Process("serve", settings, tmp_path)
        with running(process):
            call = {"name": "plan", "arguments": {"request": "Llama 3.1 8B on 1 L40S, 1k in, 100 out"}}
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
            headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{process.url}/mcp", json=body, headers=headers, timeout=10)

            began = time.monotonic()
            while model.open and time.monotonic() - began < 10:
                time.sleep(0.02)

        assert model.calls == 1
        assert time.monotonic() - began < 5, "the call to the model went on after its client had left"
