"""The command, as a process."""

import json
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

Run = Callable[..., subprocess.CompletedProcess[str]]
REQUEST = {
    "model": "llama-3.1-8b",
    "cluster": {"gpu": "l40s", "gpus_per_host": 1, "hosts": 1},
    "workload": {"isl": 1024, "osl": 128, "concurrency": 4},
}
TEXT = "Llama 3.1 8B on 1x L40S, 1024 tokens in, 128 out, concurrency 4"


def test_a_plan_in_words_is_shown_with_its_proof(meshwright: Run) -> None:
    run = meshwright("plan", TEXT)

    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("valid")
    assert "passed" in run.stdout
    assert "\x1b" not in run.stdout


def test_json_is_the_result_and_nothing_else(meshwright: Run) -> None:
    run = meshwright("plan", TEXT, "--format", "json")

    result = json.loads(run.stdout)
    assert result["status"] == "valid"
    assert result["proof"]["passed"] is True


def test_a_request_file_and_the_formats_agree(meshwright: Run, tmp_path: Path) -> None:
    (tmp_path / "request.yaml").write_text(yaml.safe_dump(REQUEST))

    as_yaml = meshwright("plan", "-f", "request.yaml", "--format", "yaml")
    as_json = meshwright("plan", "-f", "-", "--format", "json", stdin=json.dumps(REQUEST))

    first, second = yaml.safe_load(as_yaml.stdout), json.loads(as_json.stdout)
    assert first["dag"] == second["dag"]


def test_a_plan_written_to_a_folder_can_be_validated_proved_exported(meshwright: Run, tmp_path: Path) -> None:
    planned = meshwright("plan", TEXT, "-o", "out")

    assert planned.returncode == 0, planned.stderr
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"README.md", "report.txt", "result.json", "dag.yaml", "dag.mmd", "vllm", "sglang"} <= written
    assert (tmp_path / "out" / "report.txt").read_text() == planned.stdout
    readme = (tmp_path / "out" / "README.md").read_text()
    assert all(f"`{name}" in readme for name in written - {"README.md"})
    assert meshwright("validate", "out/result.json", "out/dag.yaml").returncode == 0
    assert meshwright("prove", "out/dag.yaml").returncode == 0
    assert (
        meshwright("export", "out/result.json", "--to", "mermaid").stdout == (tmp_path / "out" / "dag.mmd").read_text()
    )


def test_what_does_not_fit_exits_1_and_says_why(meshwright: Run) -> None:
    run = meshwright("plan", "Llama 3.1 70B in bf16 on 1x H100, 1k in, 100 out")

    assert run.returncode == 1
    assert run.stdout.startswith("infeasible")
    assert "memory" in run.stdout


def test_a_batch_answers_every_line_in_order_also_bad_ones(meshwright: Run, tmp_path: Path) -> None:
    lines = [
        json.dumps(REQUEST),
        "{not json",
        json.dumps({"text": TEXT}),
        json.dumps(TEXT),
        "",
        '{"model": "nobody"}',
        "[]",
    ]
    (tmp_path / "requests.jsonl").write_text("\n".join(lines))

    run = meshwright("plan", "--batch", "requests.jsonl")

    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 0, run.stderr
    assert [answer.get("status") for answer in answers] == ["valid", None, "valid", "valid", None, None]
    assert [answer["line"] for answer in answers if "error" in answer] == [2, 6, 7]
    assert all(answer["error"]["detail"] for answer in answers if "error" in answer)


def test_points_are_priced_a_line_each(meshwright: Run) -> None:
    strategy = {"pools": [{"stages": [[0, 32]]}]}
    points = [
        {"request": REQUEST, "strategy": strategy, "concurrency": 1},
        {"request": REQUEST},
        {"request": REQUEST, "strategy": strategy},
    ]

    run = meshwright("estimate", "--batch", "-", stdin="\n".join(json.dumps(point) for point in points))

    first, second, third = (json.loads(line) for line in run.stdout.splitlines())
    assert first["gpus"] == 1
    assert first["concurrency"] == 1
    assert "strategy or dag" in second["error"]["detail"]
    assert third["concurrency"] == 4


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("r.yaml", "model: llama-3.1-8b\ncluster: {gpu: [}\n", "r.yaml:2:"),
        ("r.json", '{\n  "model": oops\n}', "r.json:2:12"),
        ("r.yaml", "model: llama-3.1-8b\nclustr: {gpu: l40s}\n", "r.yaml:"),
        ("r.yaml", "model: llama-3.1-8b\ncluster: {gpu: l40s}\nworkload:\n  isl: lots\n  osl: 1\n", "r.yaml:4:3"),
        ("r.yaml", "- 1\n", "r.yaml:1:1"),
    ],
)
def test_a_malformed_request_file_is_told_with_line_and_column(
    meshwright: Run, tmp_path: Path, name: str, text: str, told: str
) -> None:
    (tmp_path / name).write_text(text)

    run = meshwright("plan", "-f", name)

    assert run.returncode == 2
    assert told in run.stderr
    assert run.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["plan"], "TEXT"),
        (["plan", "x", "--batch", "y"], "one of them"),
        (["plan", "-f", "missing.yaml"], "missing.yaml: No such file"),
        (["plan", "-f", "."], "directory"),
        (["validate", "missing.yaml"], "missing.yaml"),
        (["plan", "-f", "unknown.json"], "h100-sxm"),
        (["rules", "TP01"], "did you mean `TP0"),
        (["catalog", "gpus", "h1000"], "h100"),
        (["plan", TEXT, "--proposer", "llm"], "MESHWRIGHT_LLM__BASE_URL"),
        (["plan", TEXT, "--format", "xml"], "mermaid"),
    ],
)
def test_what_cannot_be_used_exits_2_in_words(meshwright: Run, tmp_path: Path, arguments: list[str], told: str) -> None:
    (tmp_path / "unknown.json").write_text(json.dumps({**REQUEST, "cluster": {"gpu": "h1000"}}))

    run = meshwright(*arguments)

    assert run.returncode == 2, run.stdout
    assert told in run.stderr
    assert "Traceback" not in run.stderr


def test_findings_exit_1_with_file_line_and_code(meshwright: Run, files: Path) -> None:
    run = meshwright("validate", "dag.yaml", "broken.yaml")

    assert run.returncode == 1
    assert "dag.yaml: valid" in run.stdout
    assert "broken.yaml:" in run.stdout
    assert "error" in run.stdout


def test_unreadable_among_readable_exits_2_and_judges_the_others(meshwright: Run, files: Path) -> None:
    (files / "cut.json").write_text((files / "dag.json").read_text()[:200])

    run = meshwright("validate", "cut.json", "dag.json", "--format", "json")

    assert run.returncode == 2
    assert [file["valid"] for file in json.loads(run.stdout)] == [True]
    assert "cut.json:" in run.stderr


def test_sarif_names_rule_level_and_place(meshwright: Run, files: Path) -> None:
    run = meshwright("validate", "broken.yaml", "--format", "sarif")

    log = json.loads(run.stdout)
    results = log["runs"][0]["results"]
    rules = log["runs"][0]["tool"]["driver"]["rules"]
    assert log["version"] == "2.1.0"
    assert results
    for result in results:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["locations"][0]["physicalLocation"]["region"]["startLine"] > 1


def test_github_annotations_are_one_command_a_line(meshwright: Run, files: Path) -> None:
    run = meshwright("validate", "broken.yaml", "--format", "github")

    assert run.stdout
    assert all(
        line.startswith(("::error file=broken.yaml,line=", "::warning ", "::notice "))
        for line in run.stdout.splitlines()
    )


def test_a_model_can_be_a_config_file(meshwright: Run, tmp_path: Path) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "num_hidden_layers": 16,
        "vocab_size": 128_256,
        "torch_dtype": "bfloat16",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "request.json").write_text(json.dumps({**REQUEST, "model": "config.json"}))

    run = meshwright("plan", "-f", "request.json", "--format", "json")

    result = json.loads(run.stdout)
    assert result["status"] == "valid"
    assert result["strategy"]["pools"][0]["stages"] == [[0, 16]]


def test_a_misspelt_setting_is_refused_with_the_nearest(meshwright: Run) -> None:
    run = meshwright("plan", TEXT, MESHWRIGHT_PROPOSR="llm")

    assert run.returncode == 2
    assert "did you mean `MESHWRIGHT_PROPOSER`" in run.stderr


def test_a_setting_that_does_not_fit_is_named(meshwright: Run) -> None:
    run = meshwright("plan", TEXT, MESHWRIGHT_LOOP__MAX_ATTEMPTS="many")

    assert run.returncode == 2
    assert "MESHWRIGHT_LOOP__MAX_ATTEMPTS" in run.stderr


def test_words_that_name_no_gpu_get_a_question_back(meshwright: Run) -> None:
    run = meshwright("plan", "Llama 3.1 8B please, 1k in, 1k out")

    assert run.returncode == 1
    assert run.stdout.startswith("needs clarification")
    assert "GPU" in run.stdout


def test_junk_gets_a_question_or_an_error_in_words(meshwright: Run) -> None:
    run = meshwright("plan", "-f", "-", stdin=json.dumps({"text": "lorem (ipsum [ 12 x " * 5_000}))

    assert run.returncode in {1, 2}
    assert run.stdout or run.stderr
    assert "Traceback" not in run.stdout + run.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"], ["version"], ["rules"], ["catalog", "models"]])
def test_what_only_tells_exits_0(meshwright: Run, arguments: list[str]) -> None:
    run = meshwright(*arguments)

    assert run.returncode == 0, run.stderr
    assert run.stdout


def test_help_loads_no_framework(meshwright: Run) -> None:
    run = meshwright("--help", PYTHONPROFILEIMPORTTIME="1")

    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in run.stderr.splitlines()}
    assert "typer" in loaded
    assert loaded & {"numpy", "pydantic", "fastapi", "langgraph", "rich", "yaml"} == set()


def test_a_plan_is_deployed_from_the_files_of_an_export(meshwright: Run, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(json.dumps(REQUEST))
    (tmp_path / "result.json").write_text(meshwright("plan", "-f", "request.json", "--format", "json").stdout)

    command = meshwright("export", "result.json", "--to", "vllm")
    traces = meshwright("export", "result.json", "--to", "chakra", "-o", "traces")

    assert command.returncode == 0, command.stderr
    assert "vllm serve meta-llama/" in command.stdout
    assert "--max-model-len" in command.stdout
    assert traces.returncode == 0, traces.stderr
    assert sorted(path.name for path in (tmp_path / "traces").iterdir()) == [
        "README.md",
        "comm_groups.json",
        "trace.0.et",
    ]
    assert "`trace.0.et`" in (tmp_path / "traces" / "README.md").read_text()


def test_files_that_are_no_text_need_a_folder_and_unknown_formats_a_name(meshwright: Run, files: Path) -> None:
    traces = meshwright("export", "dag.yaml", "--to", "chakra")
    unknown = meshwright("export", "dag.yaml", "--to", "vlm")
    broken = meshwright("export", "broken.yaml", "--to", "vllm")

    assert (traces.returncode, unknown.returncode, broken.returncode) == (2, 2, 2)
    assert "-o DIR" in traces.stderr
    assert "did you mean `vllm`" in unknown.stderr
    assert "not legal" in broken.stderr


def test_a_price_of_another_cost_model_that_is_not_there_says_how_to_get_it(meshwright: Run) -> None:
    point = {"request": REQUEST, "strategy": {"pools": [{"attention": {"tp_size": 1}}]}, "concurrency": 1}
    line = json.dumps(point)

    unknown = meshwright("estimate", "-", "--cost-backend", "aiconfigurators", stdin=line)
    batch = meshwright("estimate", "--batch", "-", "--cost-backend", "aiconfigurator", stdin=f"{line}\n{line}")

    assert unknown.returncode == 2
    assert "there is no cost backend `aiconfigurators`" in unknown.stderr
    if find_spec("aiconfigurator") is None:
        assert batch.returncode == 0
        found = [json.loads(answer)["error"] for answer in batch.stdout.splitlines()]
        assert [error["errors"][0]["pointer"] for error in found] == ["/cost_backend"] * 2
        assert "pip install 'aiconfigurator" in found[0]["errors"][0]["hint"]
