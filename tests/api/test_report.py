"""What the terminal shows: the report of a result, findings with their place, progress, and the folder of a plan."""

import io
import re

import pytest
from rich.console import Console
from rich.text import Text

from agent.events import Event
from api import folder, narrate, render, report
from api.documents import Judged, judge_document
from knowledge.catalogue import find_model
from strategy.build import build
from strategy.dag import Dag
from strategy.export import to_yaml
from strategy.request import Request
from strategy.result import (
    Alternative,
    Change,
    Estimate,
    Infeasible,
    Limit,
    MemoryGb,
    OpShare,
    Proof,
    Result,
)
from strategy.strategy import AttentionMesh, Pool, Strategy
from validators.documents import read_document

GREEN = re.compile(r"\x1b\[[\d;]*32m")
MEMORY = MemoryGb(weights=40, kv=20, activations=4, other=1.5, total=65.5, capacity=80)
SHARES = tuple(
    OpShare.model_validate({"phase": phase, "op": f"block.{name}", "kind": kind, "ms": ms})
    for phase in ("prefill", "decode")
    for name, kind, ms in (
        ("gate_up", "compute", 70.0),
        ("reduce", "communication", 20.0),
        ("attend", "memory", 9.0),
        *((f"op{i}", "other", 0.2) for i in range(5)),
    )
)
ESTIMATE = Estimate(
    ttft_ms=994.4,
    tpot_ms=29.2,
    tokens_per_s_per_gpu=150,
    requests_per_s=4.8,
    gpus=4,
    concurrency=75,
    memory_gb=MEMORY,
    max_concurrency=702,
    bottleneck="decode: reading weights (56%)",
    breakdown=SHARES,
    notes=("communication across hosts follows the network's rate, not a measurement",),
)
REQUEST = Request.model_validate(
    {
        "model": "llama-3.1-8b",
        "cluster": {"gpu": "h100-sxm", "gpus_per_host": 4},
        "workload": {"isl": 4096, "osl": 500},
        "slo": {"ttft_ms": 1000, "tpot_ms": 25},
    }
)


@pytest.fixture
def planned(dag: Dag) -> Result:
    reason = "2% fewer tokens/s, though TPOT is 9% lower and TTFT is 14% lower"
    other = Alternative(strategy=dag.strategy, summary="2 replicas of TP2", estimate=ESTIMATE, reason=reason)
    proof = Proof(passed=True, max_abs_error=1e-14, ranks=4, sequences=2, steps=2)
    return Result(
        status="valid",
        request=REQUEST,
        strategy=dag.strategy,
        dag=dag,
        proof=proof,
        estimate=ESTIMATE,
        alternatives=(other,),
        assumptions=("KV cache in bf16.",),
    )


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is a terminal; its width follows COLUMNS."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)


def plain(value: object) -> str:
    return render.text(value)  # type: ignore[arg-type]


def test_a_plan_shows_numbers_against_limits_layout_graph_and_losers(planned: Result) -> None:
    text = plain(report.result(planned))

    lines = text.splitlines()
    assert lines[0] == "valid  TP2 x PP2 on 4 GPUs"
    assert lines[1].startswith("llama-3.1-8b on 4 h100-sxm, 4,096 in, 500 out, TTFT <= 1 s, TPOT <= 25 ms")
    assert "limit 25 ms" in text
    assert "passed: 4 virtual ranks" in text
    assert "all_reduce(tp)" in text
    assert "  2 replicas of TP2" in text
    assert "2% fewer tokens/s" in text
    assert "\x1b" not in text


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("width", [60, 80, 140])
def test_no_line_is_wider_than_the_terminal(
    planned: Result, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))

    render.show(report.result(planned))

    shown = Text.from_ansi(capsys.readouterr().out).plain
    assert max(map(len, shown.splitlines())) <= width
    assert "communication" in shown


@pytest.mark.usefixtures("terminal")
def test_colours_come_on_a_terminal_and_not_with_no_color(
    planned: Result, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    render.show(report.headline(planned))
    coloured = capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    render.show(report.headline(planned))

    assert GREEN.search(coloured)
    assert not GREEN.search(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("share", "drawn"), [(0, "····"), (0.5, "██··"), (0.53, "██▏·"), (1, "████"), (7, "████"), (-1, "····")]
)
def test_a_bar_is_filled_to_its_share(share: float, drawn: str) -> None:
    assert render.bar(share, "green", 4).plain == drawn


@pytest.mark.parametrize(
    ("ms", "told"),
    [
        (0, "0 ms"),
        (0.0421, "42.1 us"),
        (1.4, "1.40 ms"),
        (29.24, "29.2 ms"),
        (994.4, "994 ms"),
        (1984, "1.98 s"),
        (11509, "11.5 s"),
    ],
)
def test_a_time_has_three_digits_and_the_unit_that_fits(ms: float, told: str) -> None:
    assert render.duration(ms) == told


@pytest.mark.parametrize(("per_s", "told"), [(0, "0"), (0.273, "0.27"), (3.44, "3.4"), (12.6, "13"), (1240.2, "1,240")])
def test_a_rate_has_digits_where_it_is_small(per_s: float, told: str) -> None:
    assert render.rate(per_s) == told


def test_what_does_not_fit_shows_need_and_room_and_what_would_fit() -> None:
    limit = Limit(name="memory", required=88.3, available=77.3, unit="GB", message="one GPU would hold 88.3 GB")
    change = Change(change={}, message="use 16 GPUs", verified=True)
    value = Result(status="infeasible", request=REQUEST, infeasible=Infeasible(limits=(limit,), nearest=(change,)))

    text = plain(report.result(value))

    assert text.startswith("infeasible  nothing on this hardware")
    assert "88.3 GB" in text
    assert "77.3 GB" in text
    assert "- use 16 GPUs (planned: it works)" in text


def test_a_question_comes_first_and_a_rejection_says_why() -> None:
    question = Result(status="needs_clarification", request=None, question="Which GPUs?")
    rejected = Result(status="rejected", request=REQUEST, explanation="No proposal was accepted.")

    assert plain(report.result(question)).splitlines()[:4] == [
        "needs clarification  one question first",
        "",
        "Question",
        "  Which GPUs?",
    ]
    assert "No proposal was accepted." in plain(report.result(rejected))


def test_a_finding_shows_the_line_and_marks_the_place(dag: Dag) -> None:
    text = to_yaml(dag).replace("inputs: [in, reduce]", "inputs: [in, nobody]", 1)
    document = read_document(text, name="my.yaml")

    told = plain(render.judged(Judged(document, judge_document(document, prove=False)))).splitlines()

    at = next(i for i, line in enumerate(told) if line.startswith("my.yaml:"))
    number, column = (int(part) for part in told[at].split(":")[1:3])
    excerpt, mark = told[at + 1], told[at + 2]
    assert excerpt == f"  {number} | {text.splitlines()[number - 1]}"
    assert excerpt[mark.index("^") :].startswith("nobody")
    assert mark.index("^") == len(f"  {number} | ") + column - 1
    assert told[-1] == "my.yaml: not valid"


def test_an_excerpt_of_a_long_line_stays_on_the_screen() -> None:
    text = '{"key": "' + "x" * 900 + '", "bad": 1}'

    code, mark = (part.plain for part in render.excerpt(text, 1, text.index('"bad"') + 1, "red"))  # type: ignore[union-attr]

    assert len(code) <= render.EXCERPT_WIDTH + 8
    assert code[mark.index("^") :].startswith('"bad"')


def test_progress_is_a_line_for_each_step_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    teller = narrate.Narrator()
    out = io.StringIO()
    monkeypatch.setattr(teller, "_console", Console(file=out, width=100))

    teller.tell(Event("understood", {"request": {"model": "llama-3.1-8b"}, "assumptions": ["a", "b"]}))
    teller.tell(Event("attempt", {"number": 1, "proposer": "llm", "outcome": "candidate", "accepted": False}))
    teller.tell(Event("findings", {"findings": [{"severity": "error", "code": "CM001", "message": "sum missing"}] * 5}))
    teller.tell(Event("result", {"status": "valid"}))

    lines = [line[8:].rstrip() for line in out.getvalue().splitlines()]
    assert lines[0] == "understood llama-3.1-8b, 2 assumptions"
    assert lines[1] == "attempt 1  by the language model: not accepted"
    assert [line.strip() for line in lines[2:]] == ["CM001 sum missing"] * 3 + ["and 2 more"]


def test_the_folder_of_a_plan_holds_every_engine_and_says_what_is_missing(planned: Result) -> None:
    files = folder.plan_files(planned, "the report\n")

    readme = files["README.md"].decode()
    assert files["report.txt"] == b"the report\n"
    assert {"vllm/host0.sh", "dag.yaml", "result.json", "timeline.json"} <= set(files)
    assert "- llm-d: llm-d modelservice" in readme
    assert "Estimated: TTFT 994 ms" in readme


def test_the_folder_of_a_question_holds_the_answer_alone() -> None:
    question = Result(status="needs_clarification", request=None, question="Which GPUs?")

    files = folder.plan_files(question, "report")

    assert sorted(files) == ["README.md", "report.txt", "result.json"]
    assert "Which GPUs?" in files["README.md"].decode()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("llama-3.1-70b", "embed > [attention ffn] x 80 > head_prefill"),
        ("nemotron-super-49b", "[attention ffn] x 6 > [ffn] x 2 > [attention ffn] x 3 > [ffn] x 1 > "),
        (
            "nemotron-ultra-253b",
            "embed > [attention ffn] x 64, [nothing] x 81, [ffn] x 17 in 44 runs > head_prefill",
        ),
    ],
)
def test_layers_that_lack_halves_are_counted_where_their_runs_are_too_many(name: str, line: str) -> None:
    model = find_model(name)
    pool = Pool(stages=((0, model.num_layers),), attention=AttentionMesh(tp_size=8))
    console = Console(file=io.StringIO(), width=400)

    console.print(report.outline(build(model, Strategy(pools=(pool,)))))

    assert isinstance(console.file, io.StringIO)
    assert line in console.file.getvalue()
