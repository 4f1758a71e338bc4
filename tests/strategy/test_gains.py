"""What a change would buy: planned, and said in terms of the objective."""

from knowledge.calibration import calibration
from knowledge.resolve import resolve
from strategy.request import Problem, Request
from strategy.search import search, what_if


def problem(**fields: object) -> Problem:
    request = {
        "model": "llama-3.1-70b",
        "cluster": {"gpu": "h100-sxm", "gpus_per_host": 8, "hosts": 1},
        "workload": {"isl": 2048, "osl": 256},
        "slo": {"ttft_ms": 1500, "tpot_ms": 40},
        **fields,
    }
    return resolve(Request.model_validate(request)).problem


def bought(asked: Problem) -> dict[str, str]:
    found = search(asked, calibration())
    return {next(iter(gain.change)): gain.message for gain in what_if(found, calibration())}


def test_more_gpus_and_narrower_weights_carry_more() -> None:
    messages = bought(problem())

    assert messages["cluster"].endswith(("more tokens/s", "nothing")) or "more tokens/s (" in messages["cluster"]
    assert "% more tokens/s" in messages["precision"]


def test_who_wants_few_gpus_is_offered_no_more_of_them() -> None:
    gains = what_if(search(problem(objective="min_gpus"), calibration()), calibration())

    assert gains
    assert not [gain for gain in gains if {"hosts", "gpus_per_host"} & gain.change.get("cluster", {}).keys()]


def test_weights_of_four_bits_are_not_offered_others_of_four_bits() -> None:
    assert "precision" not in bought(problem(model="gpt-oss-120b", cluster={"gpu": "b200-sxm", "gpus_per_host": 8}))


def test_a_faster_link_shortens_communication() -> None:
    """Of long prompts: messages of decode are short, and wait for latency rather than for the link."""
    asked = problem(objective="latency", workload={"isl": 8192, "osl": 256})

    found = search(asked, calibration())

    links = [
        gain.message for gain in what_if(found, calibration()) if "scale_up_gb_per_s" in gain.change.get("cluster", {})
    ]

    assert links[0].startswith("links between GPUs twice as fast: ")
    assert "less time for a request" in links[0]


def test_one_gpu_has_no_links_to_make_faster() -> None:
    small = problem(model="llama-3.1-8b", cluster={"gpu": "h100-sxm", "gpus_per_host": 1}, objective="latency")

    found = search(small, calibration())

    gains = what_if(found, calibration())
    assert not [gain for gain in gains if "scale_up_gb_per_s" in gain.change.get("cluster", {})]
    assert any("less time for a request" in gain.message for gain in gains)


def test_where_there_is_no_plan_nothing_is_compared() -> None:
    found = search(problem(slo={"ttft_ms": 1}), calibration())

    assert found.best is None
    assert what_if(found, calibration()) == ()
