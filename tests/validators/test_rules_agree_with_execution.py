"""Rules and execution agree on mutants: whatever changes the numbers is rejected before the proof. `python -m evals.mutate` runs many more."""

from itertools import islice
from random import Random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from evals.mutate.campaign import campaign, mutants_of, told
from evals.mutate.judge import document_of, judged, simpler, sound
from evals.mutate.mutations import KINDS
from evals.mutate.strategies import canonical, strategies
from strategy.legality import illegal
from strategy.model import GqaAttention, Mamba2, ModelSpec, Moe
from strategy.strategy import Strategy
from validators.examples import dense, mla, moe

PLANS = list(islice(strategies(seed=5), 60))
few = settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@few
@given(plan=st.sampled_from(PLANS), kind=st.sampled_from(sorted(KINDS)), seed=st.integers(0, 1_000_000))
def test_a_mutant_is_wrong_for_both_or_refused_for_a_stated_reason(
    plan: tuple[ModelSpec, Strategy], kind: str, seed: int
) -> None:
    model, strategy = plan
    dag = canonical(model, strategy)
    assert dag is not None
    try:
        mutation = KINDS[kind](Random(seed), document_of(dag), model)
    except LookupError:
        assume(False)
    mutant = mutation.applied(document_of(dag))
    assume(mutant is not None and mutant != dag)

    outcome = judged(mutant, model, mutation)

    assert not outcome.disagrees, told(model, strategy, outcome)


@pytest.mark.parametrize("plan", PLANS[::6], ids=lambda plan: plan[0].name)
def test_canonical_dags_of_random_strategies_are_accepted_and_proved(plan: tuple[ModelSpec, Strategy]) -> None:
    assert sound(*plan) == ""


def test_the_same_seed_gives_the_same_mutants() -> None:
    model, strategy = PLANS[3]

    first, second = (list(mutants_of(model, strategy, 5, seed=7)) for _ in range(2))

    assert first == second


@pytest.mark.parametrize("subject", [dense(), moe(tp=2, dp=2), mla()], ids=["dense", "experts", "MLA"])
def test_simpler_strategies_are_legal_and_different(subject: object) -> None:
    strategy = subject.dag.strategy  # type: ignore[attr-defined]
    model = subject.model  # type: ignore[attr-defined]

    found = list(simpler(model, strategy))

    assert found
    assert strategy not in found
    assert all(illegal(model, pool) is None for one in found for pool in one.pools)


def test_they_agree_on_ffns_of_two_matrices_and_on_attention_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    attention = GqaAttention(num_heads=12, num_kv_heads=4, head_dim=16)
    base = ModelSpec(
        name="tiny-ungated", hidden_size=256, num_layers=4, vocab_size=768, attention=attention, intermediate_size=768, ffn_gated=False
    )  # fmt: skip
    one = base.model_copy(update={"name": "tiny-one-norm", "ffn_gated": True, "parallel_block": "one_norm"})
    two = base.model_copy(update={"name": "tiny-two-norms", "parallel_block": "two_norms"})
    monkeypatch.setattr("evals.mutate.strategies.MODELS", (base, one, two))

    *_, tally = campaign(seed=1, wanted_strategies=12, wanted_mutants=60)

    assert tally.mutants == 60
    assert tally.disagreements == []


def test_they_agree_on_state_spaces_and_on_experts_of_other_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    attention = GqaAttention(num_heads=12, num_kv_heads=4, head_dim=16)
    moe = Moe(num_experts=12, top_k=3, expert_intermediate_size=96, shared_intermediate_size=192, latent_size=64)
    net = Mamba2(num_heads=24, head_dim=16, num_groups=12, state_size=32)
    base = ModelSpec(
        name="tiny-mamba", hidden_size=256, num_layers=4, vocab_size=768, attention=attention, intermediate_size=768,
        linear=net, linear_layers=(0, 2, 3),
    )  # fmt: skip
    experts = base.model_copy(
        update={"name": "tiny-latent", "ffn_gated": False, "moe": moe, "intermediate_size": None, "linear": None, "linear_layers": ()}
    )  # fmt: skip
    both = experts.model_copy(
        update={"name": "tiny-mamba-moe", "moe": moe.model_copy(update={"latent_size": None}), "linear": net, "linear_layers": (1, 2)}
    )  # fmt: skip
    blocks = both.model_copy(
        update={
            "name": "tiny-blocks", "num_layers": 8, "intermediate_size": 768, "moe": moe, "dense_layers": (3,),
            "linear_layers": (0, 1, 6), "no_mixer_layers": (2, 3, 5, 7), "no_ffn_layers": (0, 1, 4, 6),
        }
    )  # fmt: skip
    single = base.model_copy(update={"name": "tiny-single", "linear": net.model_copy(update={"num_groups": 1})})
    monkeypatch.setattr("evals.mutate.strategies.MODELS", (base, experts, both, blocks, single))

    *_, tally = campaign(seed=2, wanted_strategies=25, wanted_mutants=125)

    assert tally.mutants == 125
    assert tally.disagreements == []
