"""POST /v1/layout: positions, facts and groups for the page, from any document."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from strategy.dag import Dag
from strategy.export import to_json, to_yaml
from strategy.mesh import groups

YAML = {"Content-Type": "application/yaml"}
JSON = {"Content-Type": "application/json"}


def picture(client: TestClient, text: str, query: str = "", kind: dict[str, str] = JSON) -> dict[str, Any]:
    answer = client.post(f"/v1/layout{query}", content=text, headers=kind)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def node(made: dict[str, Any], phase: str, block: str, name: str) -> dict[str, Any]:
    return next(n for n in made["nodes"] if (n["phase"], n["block"], n["id"]) == (phase, block, name))


def test_yaml_and_json_of_one_document_are_drawn_alike(client: TestClient, dags: dict[str, Dag]) -> None:
    from_yaml = picture(client, to_yaml(dags["dense"]), kind=YAML)
    from_json = picture(client, to_json(dags["dense"]))

    assert {k: from_yaml[k] for k in ("grid", "nodes", "pools")} == {
        k: from_json[k] for k in ("grid", "nodes", "pools")
    }


def test_cells_refer_to_the_nodes_that_come_with_them(client: TestClient, sparse_text: str) -> None:
    made = picture(client, sparse_text, "?unfold=all")

    templates = made["grid"]["cells"]["template"]
    assert {*templates} == set(range(len(made["nodes"])))
    assert len({len(column) for column in made["grid"]["cells"].values()}) == 1


def test_a_collective_tells_its_axis_group_and_message(client: TestClient, sparse_text: str) -> None:
    dispatch = node(picture(client, sparse_text), "prefill", "moe", "dispatch")

    assert (dispatch["axis"], dispatch["group_size"], dispatch["layers"]) == ("ep", 32, 58)
    assert dispatch["message_bytes"] > 0
    assert dispatch["fields"]["role"] == "dispatch"


def test_a_row_split_yields_partial_sums_and_the_reduction_completes_them(client: TestClient, sparse_text: str) -> None:
    made = picture(client, sparse_text)

    assert "Partial over tp" in node(made, "decode", "mla_decode", "o")["placement"]
    assert "Partial" not in node(made, "decode", "mla_decode", "reduce")["placement"]


def test_decode_shapes_follow_the_load(client: TestClient, sparse_text: str) -> None:
    few, many = (
        node(picture(client, sparse_text, f"?concurrency={n}"), "decode", "mla_decode", "o")["rows"] for n in (16, 160)
    )

    assert (few, many) == (1, 10)


def test_groups_of_the_picture_are_the_groups_of_the_mesh(
    client: TestClient, sparse_text: str, dags: dict[str, Dag]
) -> None:
    (pool,) = picture(client, sparse_text)["pools"]

    for axis, numbers in pool["group"].items():
        found = [tuple(r for r, n in enumerate(numbers) if n == number) for number in range(max(numbers) + 1)]
        assert found == groups(dags["sparse"].strategy.pools[0], axis)
    assert set(pool["group"]) == {"tp", "dp", "ep", "stage"}


def test_memory_comes_for_every_stage(client: TestClient, dags: dict[str, Dag]) -> None:
    request = {
        "model": "llama-3.1-8b",
        "cluster": {"gpu": "l40s", "hosts": 1, "gpus_per_host": 8},
        "workload": {"isl": 512, "osl": 64},
    }
    text = json.dumps({"dag": json.loads(to_json(dags["pipeline"])), "request": request})

    (pool,) = picture(client, text)["pools"]

    assert len(pool["memory_gb"]) == 8
    assert all(0 < stage["total"] < stage["capacity"] for stage in pool["memory_gb"])


def test_positions_point_at_the_line_of_each_node(client: TestClient, dags: dict[str, Dag]) -> None:
    text = to_yaml(dags["dense"])
    made = picture(client, text, kind=YAML)

    lines = text.splitlines()
    for found in made["nodes"]:
        line, _ = made["positions"][found["pointer"]]
        assert f"id: {found['id']}," in lines[line - 1]


def test_a_document_that_breaks_the_format_has_positions_and_no_grid(client: TestClient, dags: dict[str, Dag]) -> None:
    text = to_yaml(dags["dense"]).replace("op: norm", "op: nrm", 1)

    made = picture(client, text, kind=YAML)

    assert made["grid"] is None
    assert made["positions"]["/blocks"][0] > 1


def test_a_document_that_breaks_a_rule_is_drawn(client: TestClient, dags: dict[str, Dag]) -> None:
    text = to_yaml(dags["dense"]).replace("inputs: [in, reduce]", "inputs: [in, o]", 1)

    made = picture(client, text, kind=YAML)

    assert len(made["grid"]["cells"]["x"]) == len(
        picture(client, to_yaml(dags["dense"]), kind=YAML)["grid"]["cells"]["x"]
    )


@pytest.mark.parametrize(
    ("query", "status"),
    [("?concurrency=0", 422), ("?concurrency=x", 422), ("?unfold=nothing", 200), ("?collapse=none", 200)],
)
def test_what_is_asked_of_the_picture_is_checked(
    client: TestClient, dags: dict[str, Dag], query: str, status: int
) -> None:
    assert client.post(f"/v1/layout{query}", content=to_json(dags["dense"]), headers=JSON).status_code == status


def test_every_export_is_listed_with_what_it_is(client: TestClient) -> None:
    listed = client.get("/v1/exports").json()

    assert {"vllm", "sglang", "trtllm", "ray", "yaml", "json"} <= {one["name"] for one in listed}
    assert all(one["summary"] for one in listed)
