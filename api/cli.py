"""The `meshwright` command. Results go to stdout, everything else to stderr.

Exit status: 0 yes (planned, valid, proved, done) . 1 no (infeasible, rejected, findings, a question back) . 2 the input cannot be
used (usage, unreadable file, unknown name) . 3 the work could not be done (endpoint unreachable, a bug of ours) . 130 interrupted.
A batch exits 0 once every line has its answer; the answers carry their own status.
"""

import gc
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from strategy.errors import plainly

EPILOG = "Exit status: 0 yes, 1 no (infeasible, findings, a question back), 2 input that cannot be used, 3 work that could not be done."


class Commands(TyperGroup):
    """Commands whose usage errors are told in our words alone."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; a bad value is named without the library's prefix."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = plainly(error.message)
            raise


app = typer.Typer(
    cls=Commands,
    name="meshwright",
    help="Proved, priced and deployable parallel-strategy DAGs for LLM inference.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

EXPORT_HELP = "json, yaml, mermaid, dot, graphml, npz, chakra, perfetto, pftrace, or for an engine vllm, sglang, trtllm, ray, dynamo, llm-d"
keys = typer.Typer(no_args_is_help=True, help="API keys of the service.")
app.add_typer(keys, name="keys")

RARELY = 50_000
"""New values between two looks of the garbage collector: most of what a command makes is modules, which are none."""

PlanFormat = Literal["table", "json", "yaml", "mermaid"]
TextFormat = Literal["table", "json"]
FileArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="a DAG document or a Result, YAML or JSON; - is stdin")
]
RayOption = Annotated[bool, typer.Option("--ray", help="spread the lines of a batch over a Ray cluster")]
FormatOption = Annotated[TextFormat, typer.Option("--format", help="how to print")]


def main() -> None:
    """Entry point: runs a command, and turns every error into words and an exit status."""
    gc.set_threshold(RARELY, 20, 20)
    sys.exit(_guarded())


@app.command()
def plan(
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="the request in words")] = None,
    file: Annotated[str | None, typer.Option("--file", "-f", help="a request file, YAML or JSON; - is stdin")] = None,
    batch: Annotated[str | None, typer.Option("--batch", help="requests, one JSON value a line; - is stdin")] = None,
    proposer: Annotated[str | None, typer.Option(help="who proposes: planner, llm or recorded:FILE")] = None,
    format_: Annotated[
        PlanFormat, typer.Option("--format", help="yaml and json print the Result, mermaid its DAG")
    ] = "table",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="folder to write result.json, dag.yaml, dag.mmd into")
    ] = None,
    ray: RayOption = False,
) -> None:
    """Plan a request: the best strategy, its DAG, its proof and its price."""
    from api import commands

    commands.plan(text, file=file, batch=batch, proposer=proposer, style=format_, output=output, ray=ray)


@app.command()
def validate(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="DAG documents or Results, YAML or JSON; - is stdin")
    ],
    format_: Annotated[
        Literal["table", "json", "sarif", "github"], typer.Option("--format", help="how to print")
    ] = "table",
    prove: Annotated[bool, typer.Option(help="also run each DAG on virtual ranks")] = True,
) -> None:
    """Judge DAGs: 0 when all are valid, 1 when one has findings, 2 when one cannot be read."""
    from api import commands

    commands.validate(files, style=format_, prove=prove)


@app.command()
def prove(file: FileArgument, format_: FormatOption = "table") -> None:
    """Run a DAG on virtual ranks and compare it with one device."""
    from api import commands

    commands.prove(file, style=format_)


@app.command()
def estimate(
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="{request, strategy or dag, concurrency}; - is stdin")
    ] = None,
    batch: Annotated[str | None, typer.Option("--batch", help="such objects, one a line; - is stdin")] = None,
    cost_backend: Annotated[
        str | None,
        typer.Option(
            "--cost-backend", help="meshwright (default), or aiconfigurator[@ENGINE_VERSION] where it is installed"
        ),
    ] = None,
    format_: FormatOption = "table",
    ray: RayOption = False,
) -> None:
    """Price a strategy or a DAG for a request."""
    from api import commands

    commands.estimate(file, batch=batch, backend=cost_backend, style=format_, ray=ray)


@app.command()
def rules(
    code: Annotated[str | None, typer.Argument(metavar="[CODE]", help="one rule in full, such as TP001")] = None,
    format_: FormatOption = "table",
) -> None:
    """List the rules, or explain one."""
    from api import commands

    commands.rules(code, style=format_)


@app.command()
def catalog(
    kind: Annotated[Literal["models", "gpus"], typer.Argument(help="what to list")],
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="one record in full, by name, alias or Hugging Face id")
    ] = None,
    format_: FormatOption = "table",
) -> None:
    """List the models or GPUs we know, or show one."""
    from api import commands

    commands.catalog(kind, name, style=format_)


@app.command()
def export(
    file: FileArgument,
    to: Annotated[str, typer.Option("--to", help=EXPORT_HELP)],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="folder to write the files into")] = None,
) -> None:
    """Write a DAG in another format: a document, a graph, a trace, or the files that deploy it."""
    from api import commands

    commands.export(file, to=to, output=output)


@app.command()
def chat(
    thread: Annotated[
        Path | None, typer.Option(help="file that keeps the conversation, to go on with it later")
    ] = None,
    proposer: Annotated[str | None, typer.Option(help="who proposes: planner, llm or recorded:FILE")] = None,
) -> None:
    """Talk about a plan: plan, refine, ask why, inspect, export."""
    from api import commands

    commands.chat(thread, proposer=proposer)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="address to bind [default: MESHWRIGHT_HOST]")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="port to bind [default: MESHWRIGHT_PORT]")] = None,
) -> None:
    """Serve the REST API."""
    from api import commands

    commands.serve(host=host, port=port)


@app.command()
def worker() -> None:
    """Carry out stored runs, beside any number of API processes on one Postgres."""
    from api import commands

    commands.worker()


@keys.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="whose key it is")],
    scope: Annotated[Literal["plan", "admin"], typer.Option(help="admin also sees all runs and the metrics")] = "plan",
    rate_per_minute: Annotated[int | None, typer.Option(min=1, help="requests a minute [default: the setting]")] = None,
    plans_per_day: Annotated[int | None, typer.Option(min=1, help="plans a day [default: the setting]")] = None,
) -> None:
    """Make a key and print it, once."""
    from api import commands

    commands.add_key(name, (scope,), rate_per_minute=rate_per_minute, plans_per_day=plans_per_day)


@keys.command("list")
def list_keys(format_: FormatOption = "table") -> None:
    """List the keys, without their secrets."""
    from api import commands

    commands.list_keys(style=format_)


@keys.command("revoke")
def revoke_key(identity: Annotated[str, typer.Argument(metavar="ID", help="as `keys list` shows it")]) -> None:
    """End a key."""
    from api import commands

    commands.revoke_key(identity)


@app.command()
def version() -> None:
    """Print the version."""
    from api.version import version as installed

    sys.stdout.write(f"{installed()}\n")


def _guarded() -> int:
    try:
        app()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback reaches a user
        return _told(error)
    return 0


def _told(error: Exception) -> int:
    """An error in words on stderr, and its exit status."""
    from api.errors import tell
    from api.settings import debugging
    from strategy.errors import InputError

    tell(error)
    if debugging():
        import traceback

        traceback.print_exception(error)
    return 2 if isinstance(error, InputError) else 3


if __name__ == "__main__":
    main()
