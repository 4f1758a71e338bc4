"""What a strategy leaves open is decided as engines decide it, and said."""

import pytest

from knowledge.catalogue import find_model
from knowledge.completion import complete_strategy, engine_lowering, even_stages
from strategy.strategy import Strategy

DEEPSEEK, LLAMA = find_model("deepseek-v3"), find_model("llama-3.1-70b")


def test_a_strategy_of_degrees_alone_is_completed() -> None:
    written = {"pools": [{"pp_size": 2, "attention": {"tp_size": 8}, "experts": {"ep_size": 8}}]}

    found, said = complete_strategy(written, DEEPSEEK, "vllm")

    pool = Strategy.model_validate(found).pools[0]
    assert pool.stages == ((0, 30), (30, 61))
    assert pool.ep_lowering == "replicated"
    assert any("ep_lowering replicated" in one for one in said)


@pytest.mark.parametrize(
    ("degrees", "lowering"),
    [((1, 8, 1), "replicated"), ((8, 8, 1), "all_gather"), ((32, 32, 1), "all_to_all"), ((32, 1, 32), "all_gather")],
)
def test_tokens_are_exchanged_only_under_dp_attention_and_where_that_beats_a_gather(
    degrees: tuple[int, int, int], lowering: str
) -> None:
    assert engine_lowering(DEEPSEEK, *degrees) == lowering


def test_what_is_stated_stays() -> None:
    pool = {
        "stages": [[0, 61]],
        "attention": {"dp_size": 16},
        "experts": {"ep_size": 16},
        "ep_lowering": "all_gather",
        "dp_layout": "outer",
    }

    found, said = complete_strategy({"pools": [pool]}, DEEPSEEK, "sglang")

    assert found == {"pools": [pool]}
    assert said == ()


def test_two_pools_without_names_prefill_and_decode() -> None:
    found, _ = complete_strategy({"pools": [{"attention": {"tp_size": 4}}, {"replicas": 2}]}, LLAMA, None)

    strategy = Strategy.model_validate(found)
    assert [pool.phases for pool in strategy.pools] == [("prefill",), ("decode",)]
    assert strategy.pools[0].stages == ((0, 80),)


def test_experts_that_nothing_is_said_of_are_split_over_all_ranks() -> None:
    found, _ = complete_strategy({"pools": [{"attention": {"dp_size": 2, "tp_size": 4}}]}, DEEPSEEK, "trtllm")

    pool = Strategy.model_validate(found).pools[0]
    assert pool.experts is not None
    assert (pool.experts.tp_size, pool.ep_lowering, pool.dp_layout) == (8, "all_gather", "inner")


@pytest.mark.parametrize("written", [None, [], {"pools": 3}, {"pools": ["tp8"]}, {}])
def test_what_is_not_a_strategy_comes_back_as_it_is(written: object) -> None:
    assert complete_strategy(written, LLAMA, None) == (written, ())


def test_stages_differ_by_one_layer_at_most() -> None:
    assert even_stages(61, 4) == ((0, 15), (15, 30), (30, 46), (46, 61))
