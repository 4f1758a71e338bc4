"""`meshwright chat` in a pipe: answers on stdout, progress on stderr, a conversation that goes on; and replaying from the command line."""

import io
from pathlib import Path

import pytest

from agent.deps import default_deps
from api import service
from api.chat import chat
from strategy.errors import InputError


def test_a_conversation_is_kept_in_its_file_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "thread.json"

    chat(
        default_deps(),
        thread_file=kept,
        source=io.StringIO("Llama 3.1 8B on 2 H100, 1k in, 100 out\nexit\nnever read\n"),
    )
    chat(default_deps(), thread_file=kept, source=io.StringIO("what if I only have 1?\n\nwhy not TP3?\n"))

    told = capsys.readouterr()
    assert "llama-3.1-8b on 2 x" in told.out
    assert "llama-3.1-8b on 1 x" in told.out
    assert "tp_size=3" in told.out
    assert "Sources: " in told.out
    assert "attempt 1 by planner: accepted" in told.err


def test_a_file_that_is_no_conversation_is_named(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("[]")

    with pytest.raises(InputError, match=r"other\.json is no conversation"):
        chat(default_deps(), thread_file=other, source=io.StringIO("hi\n"))


def test_the_command_line_names_proposers_and_recordings() -> None:
    assert service.proposer_named(None) == (None, None)
    assert service.proposer_named("planner") == ("planner", None)
    assert service.proposer_named("recorded:runs/a.jsonl") == (None, Path("runs/a.jsonl"))
    with pytest.raises(InputError, match="no proposer `gpt`"):
        service.proposer_named("gpt")
