"""The canonical DAG: what each combination's blocks look like."""

import pytest

from knowledge.catalogue import find_model
from strategy.build import build
from strategy.dag import Dag
from strategy.errors import InputError
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy


def dag_of(name: str, **fields: object) -> Dag:
    model = find_model(name)
    pool = Pool.model_validate({"stages": ((0, model.num_layers),), **fields})
    return build(model, Strategy(pools=(pool,)))


def ids(dag: Dag, block: str) -> list[str]:
    found = dag.block(block)
    assert found is not None
    return [f"{node.id}:{getattr(node, 'axis', node.op)}" for node in found.nodes]


def test_one_gpu_has_no_communication() -> None:
    dag = dag_of("llama-3.1-8b")

    assert not [
        node for block in dag.blocks for node in block.nodes if hasattr(node, "axis") or node.op in ("send", "recv")
    ]


def test_dense_tp_has_two_all_reduces_a_layer_one_after_the_embedding_and_a_gather_at_the_head() -> None:
    dag = dag_of("llama-3.1-70b", attention=AttentionMesh(tp_size=8))

    count = {b.name: [n.op for n in b.nodes if hasattr(n, "axis")] for b in dag.blocks}
    assert count == {
        "embed": ["all_reduce"], "attention": ["all_reduce"], "ffn": ["all_reduce"],
        "head_prefill": ["all_gather"], "head_decode": ["all_gather"],
    }  # fmt: skip


def test_equal_blocks_are_written_once_and_mla_has_one_form_a_phase() -> None:
    dag = dag_of("deepseek-v3", attention=AttentionMesh(dp_size=16), experts=ExpertMesh(ep_size=16))

    assert [b.name for b in dag.blocks] == [
        "embed",
        "mla_prefill",
        "mla_decode",
        "ffn",
        "moe",
        "head_prefill",
        "head_decode",
    ]
    assert dag.branches.prefill.layers[0].blocks == ("mla_prefill", "ffn")
    assert [stamp.range for stamp in dag.branches.decode.layers] == [(0, 3), (3, 61)]


def test_tokens_replicated_over_tp_are_chunked_before_dispatch_and_gathered_after_the_shared_experts() -> None:
    dag = dag_of("deepseek-v3", attention=AttentionMesh(dp_size=8, tp_size=2), experts=ExpertMesh(ep_size=16))

    order = ids(dag, "moe")
    assert order[:4] == ["norm:norm", "chunk:tp", "routing:routing", "dispatch:ep"]
    assert order[-3:] == ["merge:add", "regather:tp", "add:add"]


def test_expert_tp_inside_ep_gathers_and_reduces_between_the_two_exchanges() -> None:
    dag = dag_of(
        "qwen3-235b-a22b", attention=AttentionMesh(dp_size=4, tp_size=2), experts=ExpertMesh(ep_size=4, tp_size=2)
    )

    order = [name for name in ids(dag, "moe") if name.endswith((":ep", ":moe_tp", ":expert"))]
    assert order == ["dispatch:ep", "expert_gather:moe_tp", "experts:expert", "expert_reduce:moe_tp", "combine:ep"]


def test_replicated_lowering_sums_routed_and_shared_experts_in_one_all_reduce() -> None:
    dag = dag_of(
        "deepseek-v3", attention=AttentionMesh(tp_size=8), experts=ExpertMesh(ep_size=8), ep_lowering="replicated"
    )

    assert [name for name in ids(dag, "moe") if name.endswith(":tp")] == ["reduce:tp"]


def test_gathered_ffn_works_on_the_tokens_of_the_whole_stage() -> None:
    dag = dag_of(
        "deepseek-v3", attention=AttentionMesh(dp_size=4, tp_size=2), experts=ExpertMesh(ep_size=8), dense_ffn="gathered", lm_head="gathered",
    )  # fmt: skip

    assert [n for n in ids(dag, "ffn") if n.endswith((":stage", ":tp"))] == [
        "chunk:tp",
        "gather:stage",
        "scatter:stage",
        "regather:tp",
    ]
    assert [n for n in ids(dag, "head_decode") if n.endswith((":stage", ":dp"))] == [
        "rows:dp",
        "gather:stage",
        "own_rows:dp",
    ]


def test_megatron_sp_splits_prefill_tokens_and_leaves_decode_alone() -> None:
    dag = dag_of("llama-3.1-70b", attention=AttentionMesh(tp_size=4), sp_kind="megatron")

    prefill = ids(dag, dag.branches.prefill.layers[0].blocks[0])
    decode = ids(dag, dag.branches.decode.layers[0].blocks[0])
    assert "spread:tp" in prefill
    assert "spread:tp" not in decode


def test_combinations_that_the_field_has_no_scheme_for_say_so() -> None:
    with pytest.raises(InputError, match="one latent for all heads"):
        dag_of("deepseek-v3", attention=AttentionMesh(cp_size=2), experts=ExpertMesh(ep_size=2), sp_kind="cp_ulysses")
    with pytest.raises(InputError, match="leave out chunk_tokens"):
        dag_of("llama-3.1-8b", attention=AttentionMesh(cp_size=2), sp_kind="cp_ring", chunk_tokens=512)
