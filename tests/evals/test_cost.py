"""The fit: rows are read as they are meant, its fast table agrees with the cost model, and it finds constants that it was given."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evals.cost_choices import degrees, gpus_of
from evals.cost_factors import Key, engine_keys, node_keys, prior
from evals.cost_fit import Fit, fit, shipped
from evals.cost_metrics import errors, orders, regret
from evals.cost_plots import residuals, scatter
from evals.cost_rows import Point, UnusableRowError, read_degrees, read_point, read_points, with_slots
from evals.cost_table import Prediction, Table, tabulate
from evals.fit import MARK, fit_factors
from knowledge.calibration import calibration
from strategy.build import build
from strategy.cost import curve

HEADER = [
    "concurrency",
    "measured_on",
    "backend",
    "model_path",
    "system",
    "precision",
    "mode",
    "isl",
    "osl",
    "gemm_quant_mode",
    "batch_size",
    "tp_size",
    "pp_size",
    "attention_dp_size",
    "moe_tp_size",
    "moe_ep_size",
    "prefill_num_workers",
    "prefill_tp_size",
    "prefill_pp_size",
    "prefill_attention_dp_size",
    "prefill_moe_tp_size",
    "prefill_moe_ep_size",
    "decode_num_workers",
    "decode_tp_size",
    "decode_pp_size",
    "decode_attention_dp_size",
    "decode_moe_tp_size",
    "decode_moe_ep_size",
    "silicon_ttft_ms",
    "silicon_tpot_ms",
]


def row(**fields: object) -> dict[str, str]:
    """A row of the source's table; numbers here are made up."""
    plain = {
        "concurrency": 16, "backend": "vllm", "model_path": "meta-llama/Llama-3.1-70B", "system": "h100_sxm", "precision": "fp8",
        "mode": "agg", "isl": 1024, "osl": 1024, "gemm_quant_mode": "fp8", "tp_size": 4, "pp_size": 1,
        "silicon_ttft_ms": 150, "silicon_tpot_ms": 15,
    }  # fmt: skip
    return {name: str({**plain, **fields}.get(name, "")) for name in HEADER}


def some_rows() -> list[dict[str, str]]:
    found = [row(concurrency=c, tp_size=tp, backend=e) for c in (4, 32) for tp in (2, 4) for e in ("vllm", "trtllm")]
    moe = {
        "model_path": "deepseek-ai/DeepSeek-R1",
        "system": "h200_sxm",
        "backend": "sglang",
        "tp_size": 8,
        "precision": "fp8",
    }
    found += [row(concurrency=c, moe_tp_size=1, moe_ep_size=8, **moe) for c in (4, 64)]
    pools = {f"{phase}_{name}": value for phase in ("prefill", "decode") for name, value in
             {"num_workers": 1, "tp_size": 4, "pp_size": 1, "attention_dp_size": 1}.items()}  # fmt: skip
    return [*found, row(mode="disagg", concurrency=32, **pools)]


@pytest.fixture(scope="module")
def points() -> list[Point]:
    return [read_point(one) for one in some_rows()]


@pytest.fixture(scope="module")
def table(points: list[Point]) -> Table:
    return tabulate(points, calibration())


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        ((64, 1, 8, 8), (8, 1, 1, 8)),  # tp 8 and ep 8 multiplied
        ((1, 64, 8, 8), (1, 8, 1, 8)),
        ((4, 4, 1, 16), (4, 1, 1, 4)),
        ((8, 1, 8, 1), (8, 1, 8, 1)),
        ((8, 0, 1, 8), (8, 1, 1, 8)),
    ],
)
def test_layouts_are_read_as_they_are_meant(stated: tuple[int, ...], meant: tuple[int, ...]) -> None:
    names = ("tp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size")

    found = read_degrees(row(pp_size=1, **dict(zip(names, stated, strict=True))), "", moe=True)

    assert (found.tp, found.dp, found.moe_tp, found.ep) == meant


@pytest.mark.parametrize(("engine", "day"), [("trtllm", "2026-02-05"), ("vllm", "2026-04-21")])
def test_dp_attention_is_believed_where_measurements_show_it(engine: str, day: str) -> None:
    stated = {"tp_size": 4, "pp_size": 1, "attention_dp_size": 4, "moe_tp_size": 1, "moe_ep_size": 16}

    found = read_degrees(row(backend=engine, measured_on=day, **stated), "", moe=True)

    assert (found.tp, found.dp, found.ep) == (1, 4, 4)


def test_rows_that_cannot_be_priced_say_why() -> None:
    with pytest.raises(UnusableRowError, match="not one we hold"):
        read_point(row(model_path="nobody/has-heard-of-it"))
    with pytest.raises(UnusableRowError, match="no concurrency"):
        read_point(row(concurrency=""))
    with pytest.raises(UnusableRowError, match="worker counts"):
        read_point(row(mode="disagg"))


def pools_of(workers: int, **decode: object) -> dict[str, object]:
    """Columns of disaggregated pools of DeepSeek on TensorRT-LLM: one worker that prefills, some that decode."""
    plain = {"num_workers": 1, "tp_size": 8, "pp_size": 1, "attention_dp_size": 1, "moe_tp_size": 1, "moe_ep_size": 8}
    named = [("prefill", plain), ("decode", {**plain, "num_workers": workers, **decode})]
    columns = {f"{phase}_{name}": value for phase, found in named for name, value in found.items()}
    deployed = {"model_path": "deepseek-ai/DeepSeek-R1", "system": "h200_sxm", "backend": "trtllm", "mode": "disagg"}
    return {**deployed, "gemm_quant_mode": "fp8", **columns}


def slots_of(*rows: dict[str, str]) -> list[float]:
    return [point.slots for point in with_slots([read_point(one) for one in rows], [("a launch",)] * len(rows))]


def test_the_last_load_of_a_series_is_more_than_decoding_workers_hold() -> None:
    spread = {"tp_size": 1, "attention_dp_size": 8}

    assert slots_of(*(row(concurrency=c, **pools_of(4)) for c in (12, 48, 36))) == [math.inf, 32, math.inf]
    assert slots_of(row(concurrency=128, **pools_of(4))) == [math.inf]
    assert slots_of(row(concurrency=100, **pools_of(1, **spread))) == [math.inf]
    assert slots_of(row(concurrency=100, backend="trtllm")) == [math.inf]


def test_who_finds_no_slot_waits_for_one() -> None:
    point = read_point(row(concurrency=48, **pools_of(4)))
    held = tabulate(with_slots([point], [()]), calibration())
    within = tabulate([replace(point, concurrency=32)], calibration())

    (ttft,), (tpot,) = held.predict(shipped(held, calibration()).logs)
    (least,), (same,) = within.predict(shipped(within, calibration()).logs)

    assert tpot == same
    assert ttft == pytest.approx(least + 0.5 * (least + same * 1023))


def test_the_table_agrees_with_the_cost_model(points: list[Point], table: Table) -> None:
    ttft, tpot = table.predict(shipped(table, calibration()).logs)

    for index, point in enumerate(points):
        dag = build(point.problem.model, point.strategy)
        one = curve(dag, point.problem, calibration(), np.array([point.concurrency]))
        # The table interpolates between fewer batch sizes.
        assert tpot[index] == pytest.approx(one.tpot_ms[0], rel=0.06)
        assert ttft[index] == pytest.approx(one.ttft_ms[0], rel=0.06)


def test_factors_are_set_aside_also_after_they_were_looked_up(points: list[Point], table: Table) -> None:
    used = calibration()
    curve(build(points[0].problem.model, points[0].strategy), points[0].problem, used)

    again = tabulate(points, used)

    assert again.predict(np.zeros(len(again.keys)))[1] == pytest.approx(table.predict(np.zeros(len(table.keys)))[1])


def test_slopes_are_those_of_the_prediction(table: Table) -> None:
    logs = shipped(table, calibration()).logs
    ttft, tpot, d_ttft, d_tpot = table.slopes(logs)

    for column in range(0, len(table.keys), 7):
        moved = logs.copy()
        moved[column] += 1e-3
        after_ttft, after_tpot = table.predict(moved)
        assert (after_tpot - tpot) / tpot == pytest.approx(1e-3 * d_tpot[:, column] / tpot, abs=2e-5)
        assert (after_ttft - ttft) / ttft == pytest.approx(1e-3 * d_ttft[:, column] / ttft, abs=2e-5)


def test_the_fit_recovers_factors_that_made_the_measurements(table: Table) -> None:
    true = shipped(table, calibration()).logs
    slower = table.keys.index(Key("decode_step_ms"))
    true[slower] += 0.5
    ttft, tpot = table.predict(true)
    made = Table(**{**vars(table), "measured_ttft_ms": ttft, "measured_tpot_ms": tpot})

    found = fit(made, np.ones(len(made.points)))

    after = made.predict(found.logs)[1]
    before = made.predict(np.array([prior(key)[0] for key in made.keys]))[1]
    assert np.abs(after / tpot - 1).max() < 0.1
    assert np.abs(after / tpot - 1).mean() < 0.5 * np.abs(before / tpot - 1).mean()


def test_predictions_that_are_right_leave_no_error_no_regret_and_no_wrong_order(table: Table) -> None:
    perfect = Prediction(table.measured_ttft_ms, table.measured_tpot_ms)

    found = errors(table, perfect)

    assert (found.tpot_mape, found.ttft_median) == (0, 0)
    assert orders(table, perfect).right == orders(table, perfect).pairs
    assert regret(table, perfect).mean == 0


def test_fitting_writes_factors_that_the_catalogue_reads(tmp_path: Path) -> None:
    lines = [",".join(HEADER), *(",".join(one.values()) for one in some_rows())]
    (tmp_path / "end_to_end.csv").write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "efficiencies.yaml"
    out.write_text(f"head: kept\n{MARK}old", encoding="utf-8")

    fit_factors(tmp_path, out)
    once = out.read_text(encoding="utf-8")
    fit_factors(tmp_path, out)

    assert once.startswith(f"head: kept\n{MARK}fit: ")
    assert "quantity: decode_step_ms" in once
    assert out.read_text(encoding="utf-8") == once
    assert len(read_points(tmp_path).points) == len(some_rows())


def test_plots_are_svg_with_a_dot_a_point() -> None:
    values = np.array([1.0, 10.0, 100.0])

    for draw in (scatter, residuals):
        drawn = draw("TPOT", "ms", values, values * 1.1, ["vllm", "sglang", "trtllm"])
        assert drawn.startswith("<svg")
        assert drawn.count("<circle") == 3


@pytest.mark.parametrize(
    ("name", "sizes", "gpus"), [("TP4", (4, 1, 1), 4), ("TP1xPP8", (1, 8, 1), 8), ("DEP2xPP2", (1, 2, 2), 4)]
)
def test_names_of_published_layouts(name: str, sizes: tuple[int, ...], gpus: int) -> None:
    assert degrees(name) == sizes
    assert gpus_of(name) == gpus


def test_factors_close_to_one_are_left_out(table: Table) -> None:
    assert not Fit(table, np.zeros(len(table.keys))).factors()


def test_fixed_times_of_experts_go_by_type_and_engine_and_those_of_attention_by_engine_in_decode() -> None:
    point = read_point(row(model_path="openai/gpt-oss-120b", system="b200_sxm", precision="fp4", tp_size=1))
    launches = {
        (op, phase): node_keys(point, phase, op, kernel, spread=False)["launch_time"]
        for op, kernel in (("expert", ("expert", "mxfp4")), ("attention", ("attention", "bf16")))
        for phase in ("decode", "prefill")
    }

    assert {(key.engine, key.dtype) for key in launches["expert", "decode"]} == {
        ("*", "*"), ("vllm", "*"), ("*", "nvfp4"), ("vllm", "nvfp4"),
    }  # fmt: skip
    assert [key.engine for key in launches["attention", "decode"]] == ["*", "vllm"]
    assert [key.engine for key in launches["attention", "prefill"]] == ["*"]


def test_decode_of_a_pool_of_its_own_has_a_factor_of_its_own() -> None:
    keys = engine_keys(read_point(row()))["decode_time"]

    assert {key.serving for key in keys} == {"*", "colocated"}
