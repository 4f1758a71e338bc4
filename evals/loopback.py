"""`python -m evals loopback`: an endpoint on 127.0.0.1 with a model that does what prompts say, to try `--proposer llm` without a model."""

import json
import threading

import typer

from evals.faulty.server import Asked, Say, serving
from evals.reader import Messages, answer_from, mended_from
from strategy.errors import MeshwrightError

NAME = "reader"
"""Of the model, and the first part of the endpoint's path."""
CHARACTERS_PER_TOKEN = 4


def read_and_answer(asked: Asked) -> Say:
    """A first answer by what the prompt says, or the last candidate mended by its findings; prose where the prompt lacks what it takes."""
    messages = tuple((str(m["role"]), str(m["content"])) for m in asked.body["messages"])
    text = _answer(messages)
    used = {
        "prompt_tokens": len(asked.prompt) // CHARACTERS_PER_TOKEN,
        "completion_tokens": len(text) // CHARACTERS_PER_TOKEN,
    }
    return Say(text, usage={**used, "total_tokens": sum(used.values())})


def _answer(messages: Messages) -> str:
    again = any("<findings>" in text for _, text in messages)
    try:
        return json.dumps(mended_from(messages) if again else answer_from(messages))
    except (LookupError, ValueError, MeshwrightError) as error:
        return f"The prompt does not tell: {error}"


def loopback() -> None:
    """Serve the model until interrupted; the settings that point at it are printed first."""
    with serving({NAME: read_and_answer}) as server:
        typer.echo(f"MESHWRIGHT_LLM__BASE_URL={server.base_url(NAME)}\nMESHWRIGHT_LLM__MODEL={NAME}")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            typer.echo("stopped", err=True)
