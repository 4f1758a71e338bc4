"""The estimate: sane magnitudes, consistent with itself, and honest about DAGs that do more work than they need."""

import numpy as np
import pytest

from knowledge.calibration import calibration
from knowledge.catalogue import find_gpu, find_model
from knowledge.resolve import resolve_model
from strategy.build import build
from strategy.calibration import Factor
from strategy.cost import Server, curve, estimate
from strategy.dag import AllReduce, Block, Dag
from strategy.hardware import Cluster
from strategy.model import Dtype, ModelSpec
from strategy.passes import pass_time
from strategy.request import Engine, Precision, Problem, Slo, Workload
from strategy.result import Estimate
from strategy.strategy import AttentionMesh, ExpertMesh, Phase, Pool, Strategy
from strategy.work import Load

TP8 = Pool(stages=((0, 80),), attention=AttentionMesh(tp_size=8))


def problem(model: str, gpu: str, *, gpus: int = 8, hosts: int = 1, slo: Slo | None = None, **work: object) -> Problem:
    spec = resolve_model(model)
    load = Workload.model_validate({"isl": 4096, "osl": 512, **work})
    return Problem(
        model=spec,
        cluster=Cluster(gpu=find_gpu(gpu), gpus_per_host=gpus, hosts=hosts),
        workload=load,
        slo=slo or Slo(),
        precision=Precision(weights=spec.checkpoint.weights, activations="bf16", kv="bf16"),
        max_model_len=load.isl + load.osl,
    )


def planned(asked: Problem, *pools: Pool) -> Dag:
    return build(asked.model, Strategy(pools=pools))


def llama(**work: object) -> tuple[Dag, Problem]:
    asked = problem("llama-3.1-70b", "h100-sxm", **work)  # type: ignore[arg-type]
    return planned(asked, TP8), asked


def test_llama_70b_on_eight_h100_is_in_the_measured_range() -> None:
    dag, asked = llama()

    at_64 = estimate(dag, asked, calibration(), concurrency=64)

    step = sum(share.ms for share in at_64.breakdown if share.phase == "decode")
    assert 12 < step < 30
    assert 25 < at_64.tpot_ms < 60  # prefills of others interrupt
    assert 500 < at_64.ttft_ms < 3000


def test_deepseek_on_eight_h200_takes_tens_of_milliseconds() -> None:
    asked = problem("deepseek-v3", "h200-sxm")
    layout = Pool(stages=((0, 61),), attention=AttentionMesh(dp_size=8), experts=ExpertMesh(ep_size=8))

    assert 20 < estimate(planned(asked, layout), asked, calibration(), concurrency=128).tpot_ms < 120


def test_littles_law_ties_rate_latency_and_load() -> None:
    dag, asked = llama()

    e = estimate(dag, asked, calibration(), concurrency=32)

    assert e.requests_per_s * (e.ttft_ms + 511 * e.tpot_ms) / 1e3 == pytest.approx(32)
    assert e.tokens_per_s_per_gpu == pytest.approx(e.requests_per_s * 512 / 8)


def test_breakdown_of_a_lone_request_sums_to_its_latencies() -> None:
    dag, asked = llama()

    e = estimate(dag, asked, calibration(), concurrency=1)

    assert sum(s.ms for s in e.breakdown if s.phase == "decode") == pytest.approx(e.tpot_ms, rel=0.01)
    assert sum(s.ms for s in e.breakdown if s.phase == "prefill") == pytest.approx(e.ttft_ms, rel=0.02)


def test_a_load_has_one_price_alone_or_on_a_grid() -> None:
    dag, asked = llama()
    points = curve(dag, asked, calibration())

    for index in (0, len(points.concurrency) // 2, -1):
        alone = estimate(dag, asked, calibration(), concurrency=int(points.concurrency[index]))
        assert alone.tpot_ms == pytest.approx(points.tpot_ms[index], rel=0.01)
        assert alone.ttft_ms == pytest.approx(points.ttft_ms[index], rel=0.01)


def test_latency_grows_with_load() -> None:
    dag, asked = llama()

    points = curve(dag, asked, calibration())

    assert np.all(np.diff(points.tpot_ms) > 0)
    assert np.all(np.diff(points.ttft_ms) > 0)
    assert points.tokens_per_s_per_gpu[-1] > points.tokens_per_s_per_gpu[0]


def test_a_doubled_all_reduce_costs_more() -> None:
    dag, asked = llama()

    once, twice = (estimate(one, asked, calibration(), concurrency=16) for one in (dag, _doubled(dag)))

    assert twice.tpot_ms > once.tpot_ms
    assert twice.ttft_ms > once.ttft_ms


def _doubled(dag: Dag) -> Dag:
    """The DAG with a second all_reduce after that of attention."""
    blocks = []
    for block in dag.blocks:
        if block.name == "attention":
            again = AllReduce(id="again", op="all_reduce", axis="tp", inputs=("reduce",))
            block = Block(name=block.name, output=block.output, nodes=(*block.nodes, again))  # noqa: PLW2901
        blocks.append(block)
    return dag.model_copy(update={"blocks": tuple(blocks)})


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_pipeline_stages_add_up_to_the_whole(phase: Phase) -> None:
    asked = problem("llama-3.1-70b", "h100-sxm")
    halves = Pool(pp_size=2, stages=((0, 30), (30, 80)), attention=AttentionMesh(tp_size=4))
    whole = Pool(stages=((0, 80),), attention=AttentionMesh(tp_size=4))
    load = Load(np.array([4.0]), 512.0 if phase == "prefill" else 1.0, 512.0)

    split, one = (pass_time(planned(asked, pool), phase, asked, calibration(), load) for pool in (halves, whole))

    assert split.stage_ms.sum() == pytest.approx(one.stage_ms.sum())
    assert split.interval_ms[0] == pytest.approx(1.06 * split.stage_ms[1, 0])
    assert split.stage_ms[1, 0] > split.stage_ms[0, 0]
    assert split.latency_ms[0] == pytest.approx(split.stage_ms.sum() + split.boundary_ms[0])
    assert split.boundary_ms[0] > 0


def test_replicas_share_the_load() -> None:
    asked = problem("llama-3.1-8b", "h100-sxm")
    one = Pool(stages=((0, 32),), replicas=1)

    four = estimate(planned(asked, one.model_copy(update={"replicas": 4})), asked, calibration(), concurrency=64)
    alone = estimate(planned(asked, one), asked, calibration(), concurrency=16)

    assert four.tpot_ms == pytest.approx(alone.tpot_ms)
    assert four.requests_per_s == pytest.approx(4 * alone.requests_per_s)


def test_the_chosen_load_meets_the_limits_and_is_the_best_that_does() -> None:
    slo = Slo(ttft_ms=1000, tpot_ms=25)
    asked = problem("llama-3.1-70b", "h100-sxm", slo=slo)
    dag = planned(asked, TP8)

    e = estimate(dag, asked, calibration())
    points = curve(dag, asked, calibration(), np.arange(1.0, 2.0 * e.concurrency))

    meets = (points.ttft_ms <= 1000) & (points.tpot_ms <= 25)
    assert meets[e.concurrency - 1]
    assert e.tokens_per_s_per_gpu >= points.tokens_per_s_per_gpu[meets].max() * 0.995


def test_a_request_rate_becomes_the_load_that_serves_it() -> None:
    dag, asked = llama(request_rate=1.5)

    e = estimate(dag, asked, calibration())

    assert e.requests_per_s == pytest.approx(1.5, rel=0.1)


@pytest.mark.parametrize("concurrency", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("apart", [False, True])
def test_one_output_token_is_the_first_and_comes_no_faster_than_prompts_are_read(concurrency: int, apart: bool) -> None:
    asked = problem("llama-3.1-70b", "h100-sxm", hosts=2, osl=1)
    prefill = TP8.model_copy(update={"name": "prefill", "phases": ("prefill",)})
    decode = TP8.model_copy(update={"name": "decode", "phases": ("decode",)})
    dag = planned(asked, prefill, decode) if apart else planned(asked, TP8)

    e = estimate(dag, asked, calibration(), concurrency=concurrency)

    busy = 1e-3 * float(Server(dag, asked, calibration()).fleet.plants.prefill_ms[1][0, 0]) * e.requests_per_s
    assert e.tpot_ms == 0
    assert busy <= 1 + 1e-9
    assert e.requests_per_s * e.ttft_ms / 1e3 == pytest.approx(concurrency)


def test_requests_beyond_the_cache_wait() -> None:
    dag, asked = llama()
    fits = estimate(dag, asked, calibration()).max_concurrency

    over = estimate(dag, asked, calibration(), concurrency=8 * fits)

    assert over.ttft_ms > 3 * estimate(dag, asked, calibration(), concurrency=fits).ttft_ms
    assert any("wait" in note for note in over.notes)


def test_disaggregated_decode_is_not_interrupted_by_prefill() -> None:
    asked = problem("llama-3.1-70b", "h100-sxm", hosts=2)
    prefill = TP8.model_copy(update={"name": "prefill", "phases": ("prefill",)})
    decode = TP8.model_copy(update={"name": "decode", "phases": ("decode",)})

    apart = estimate(planned(asked, prefill, decode), asked, calibration(), concurrency=64)
    together = estimate(planned(asked, TP8), asked, calibration(), concurrency=64)

    assert apart.gpus == 16
    assert apart.tpot_ms < together.tpot_ms


def test_a_prefix_cache_shortens_prefill() -> None:
    dag, asked = llama()
    cached = asked.model_copy(update={"workload": Workload(isl=4096, osl=512, prefix_hit_ratio=0.75)})

    assert (
        estimate(dag, cached, calibration(), concurrency=1).ttft_ms
        < estimate(dag, asked, calibration(), concurrency=1).ttft_ms
    )


def test_hardware_without_measurements_is_priced_and_said_to_be() -> None:
    asked = problem("llama-3.1-70b", "mi300x")

    e = estimate(planned(asked, TP8), asked, calibration(), concurrency=16)

    assert 5 < e.tpot_ms < 60
    assert any("not fitted on gfx942" in note for note in e.notes)
    assert any("no measured collectives" in note for note in e.notes)


@pytest.mark.parametrize(
    ("model", "gpu", "reason"),
    [
        ("llama-3.1-70b", "h100-sxm", "or like them, were fitted"),
        ("llama-3.3-70b", "h100-sxm", "of its shape"),
        ("mixtral-8x7b", "h100-sxm", "mixtral-8x7b was not among the models fitted"),
        ("llama-3.1-70b", "l40s", "was not among the GPUs fitted"),
    ],
)
def test_an_estimate_says_how_far_such_estimates_were_off(model: str, gpu: str, reason: str) -> None:
    asked = problem(model, gpu)

    notes = estimate(planned(asked, TP8), asked, calibration(), concurrency=4).notes

    assert any(reason in note and "off by" in note for note in notes)


def test_what_was_never_fitted_is_less_certain() -> None:
    known, new = (calibration().error_of(find_model("llama-3.1-70b"), find_gpu(gpu)) for gpu in ("h100-sxm", "l40s"))

    assert known is not None
    assert new is not None
    assert known.tpot < new.tpot
    assert known.ttft < new.ttft


@pytest.mark.parametrize("field", ["memory_tb_per_s", "bf16_tflops", "scale_up_gb_per_s", "nic_gb_per_s"])
@pytest.mark.parametrize("gpu", ["h100-sxm", "mi300x", "l40s"])
def test_faster_hardware_is_never_slower(gpu: str, field: str) -> None:
    slow = problem("llama-3.1-70b", gpu)
    device = slow.cluster.gpu
    better = device.model_copy(update={field: 2 * getattr(device, field)})
    fast = slow.model_copy(update={"cluster": slow.cluster.model_copy(update={"gpu": better})})

    before, after = (curve(planned(asked, TP8), asked, calibration()) for asked in (slow, fast))

    assert np.all(after.tpot_ms <= before.tpot_ms * (1 + 1e-9))
    assert np.all(after.ttft_ms <= before.ttft_ms * (1 + 1e-9))


@pytest.mark.parametrize("engine", [None, "vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("gpu", ["h100-sxm", "b200-sxm", "mi355x", "a100-80g-sxm", "rtx-pro-6000"])
def test_every_engine_has_a_price_on_every_gpu(gpu: str, engine: Engine | None) -> None:
    asked = problem("qwen3-30b-a3b", gpu).model_copy(update={"engine": engine})
    layout = Pool(stages=((0, 48),), attention=AttentionMesh(dp_size=8), experts=ExpertMesh(ep_size=8))

    points = curve(planned(asked, layout), asked, calibration())

    assert np.all(np.diff(points.tpot_ms) >= -1e-9)
    assert 1 < points.tpot_ms[0] < 50
    assert 10 < points.ttft_ms[0] < 10_000


def test_what_does_not_fit_is_priced_as_if_it_did() -> None:
    asked = problem("llama-3.1-405b", "h100-sxm")
    layout = Pool(stages=((0, 126),), attention=AttentionMesh(tp_size=8))

    e = estimate(planned(asked, layout), asked, calibration(), concurrency=8)

    assert e.max_concurrency == 0
    assert 10 < e.tpot_ms < 200
    assert e.ttft_ms < 10_000
    assert any("does not fit" in note for note in e.notes)


def test_a_factor_of_a_shape_and_a_type_holds_for_them_alone() -> None:
    ours, other = find_model("llama-3.1-70b"), find_model("llama-3.1-8b")
    factors = (
        Factor(quantity="decode_time", engine="vllm", shape=ours.shape, value=2.0),
        Factor(quantity="decode_time", engine="vllm", shape=ours.shape, dtype="fp8", value=3.0),
    )
    constants = calibration().replaced(factors=factors)

    def decode_time(model: ModelSpec, weights: Dtype, engine: Engine | None = "vllm") -> float:
        return constants.engine(engine, "sm90", model, weights, disaggregated=False).decode_time

    assert ours.shape == "80x8192x64"
    assert decode_time(ours, "bf16") == 2.0
    assert decode_time(ours, "fp8") == 6.0
    assert decode_time(other, "fp8") == decode_time(ours, "fp8", None) == decode_time(ours, "fp8", "sglang") == 1.0


def test_kernel_times_of_decode_grow_by_their_factor_in_the_estimate_and_its_parts() -> None:
    asked = problem("llama-3.1-8b", "h100-sxm")
    dag = planned(asked, Pool(stages=((0, 32),)))
    none = calibration().replaced(factors=())
    slow = calibration().replaced(factors=(Factor(quantity="decode_time", shape=asked.model.shape, value=1.5),))

    before, after = (estimate(dag, asked, constants, concurrency=1) for constants in (none, slow))

    def kernels(found: Estimate) -> float:
        return sum(one.ms for one in found.breakdown if one.phase == "decode" and one.op != "host")

    assert kernels(after) == pytest.approx(1.5 * kernels(before), rel=0.01)
    assert after.tpot_ms - before.tpot_ms == pytest.approx(0.5 * kernels(before), rel=0.05)


def test_both_4_bit_formats_take_the_factors_of_their_kernels() -> None:
    """Experts in MXFP4 run through the kernels of NVFP4 where the device multiplies 4 bits, and through those of bf16 elsewhere."""
    doubled = [
        Factor(quantity="launch_time", op="expert", phase="decode", dtype=t, value=2.0) for t in ("nvfp4", "bf16")
    ]

    def slower(gpu: str, factor: Factor) -> bool:
        asked = problem("gpt-oss-120b", gpu)
        pool = Pool(stages=((0, asked.model.num_layers),), experts=ExpertMesh(), ep_lowering="replicated")
        none, changed = (calibration().replaced(factors=factors) for factors in ((), (factor,)))
        before, after = (estimate(planned(asked, pool), asked, one, concurrency=1).tpot_ms for one in (none, changed))
        return after > before

    assert [slower("b200-sxm", one) for one in doubled] == [True, False]
    assert [slower("h100-sxm", one) for one in doubled] == [False, True]
