"""What each command of the CLI does: read, call the service, print. Loaded when a command runs, so that `--help` stays quick."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from agent.fanout import fan_out, imported_ray, in_order
from api import logs, service
from api.documents import Judged, dag_of, judge_document, open_document, summary
from api.errors import error_line, tell
from api.reading import Source, data_of, fit_source, read_lines, read_source, with_model_file
from api.settings import Settings, load
from strategy.errors import InputError
from strategy.request import Request
from strategy.result import PeerEstimate, Result
from validators.documents import read_data

if TYPE_CHECKING:
    from agent.events import OnEvent
    from api.state.keys import Keys, Scope


def plan(
    text: str | None,
    *,
    file: str | None,
    batch: str | None,
    proposer: str | None,
    style: str,
    output: Path | None,
    ray: bool,
) -> None:
    """Plan one request, or a batch of them."""
    settings = _settings()
    _refuse_lonely_ray(batch, ray=ray)
    given = [value for value in (text, file, batch) if value is not None]
    if len(given) != 1:
        raise InputError(
            "give a request as TEXT, with --file or with --batch, one of them",
            hint='try `plan "Llama 3.1 8B on 1x L40S"`',
        )
    if batch is not None:
        _plan_batch(batch, settings, *service.proposer_named(proposer), ray=ray)
        return
    ask = _read_request(file, settings) if file is not None else service.read_ask(text)
    named, replay = service.proposer_named(proposer)
    result = service.plan(ask, settings, named, replay=replay, on_event=_progress())
    if output is not None:
        _write_files(result, output)
    _print_result(result, style, saved=output is not None)
    raise typer.Exit(0 if result.status == "valid" else 1)


def validate(files: list[str], *, style: str, prove: bool) -> None:
    """Judge every file, print all findings in one format."""
    settings = _settings()
    judged: list[Judged] = []
    unreadable = 0
    for name in files:
        try:
            document = open_document(name, settings.max_document_bytes)
            judged.append(Judged(document, judge_document(document, prove=prove)))
        except InputError as error:
            unreadable += 1
            tell(error)
    _print_judged(judged, style)
    clean = all(file.judgement.valid for file in judged)
    raise typer.Exit(2 if unreadable else 0 if clean else 1)


def prove(file: str, *, style: str) -> None:
    """Run one DAG on virtual ranks."""
    settings = _settings()
    outcome = service.run_proof(dag_of(open_document(file, settings.max_document_bytes)))
    if style == "json":
        _json(outcome.model_dump(mode="json"))
    else:
        from api import render

        render.show(render.proof(outcome))
    raise typer.Exit(0 if outcome.passed else 1)


def estimate(file: str | None, *, batch: str | None, backend: str | None, style: str, ray: bool) -> None:
    """Price one point, or a batch of them; `backend` prices those that name none."""
    settings = _settings()
    if (file is None) == (batch is None):
        raise InputError("give FILE or --batch, one of them")
    _refuse_lonely_ray(batch, ray=ray)
    if batch is not None:
        _batch(
            batch,
            settings,
            lambda data: service.price(
                service.fit(service.Point, _with_backend(data, backend), "the point")
            ).model_dump(mode="json"),
            ray=ray,
        )
        return
    assert file is not None
    source = read_source(file, settings.max_document_bytes)
    data = data_of(source)
    if isinstance(data, dict):
        data = {**data, "request": with_model_file(data.get("request"), source, settings.max_document_bytes)}
        data = _with_backend(data, backend)
    priced = service.price(fit_source(service.Point, data, source, "the point"))
    if style == "json":
        _json(priced.model_dump(mode="json"))
        return
    from api import render

    render.show(render.peer_estimate(priced) if isinstance(priced, PeerEstimate) else render.estimate(priced))


def _with_backend(data: Any, backend: str | None) -> Any:
    """A point that is priced by `backend` unless it says by whom. Raises `InputError` for one that does not exist."""
    if backend is None or not isinstance(data, dict):
        return data
    if not re.fullmatch(service.COST_BACKENDS, backend):
        raise InputError(
            f"there is no cost backend `{backend[:60]}`", hint="use meshwright or aiconfigurator[@VERSION]"
        )
    return {"cost_backend": backend, **data}


def rules(code: str | None, *, style: str) -> None:
    """List the rules or show one."""
    if code is not None:
        _print_record(service.rule_record(code), style)
        return
    records = service.rule_records()
    columns = ("code", "severity", "stage", "name", "summary")
    _print_rows(records, columns, style)


def catalog(kind: service.Kind, name: str | None, *, style: str) -> None:
    """List a catalogue or show one record."""
    if name is not None:
        _print_record(service.catalog_record(kind, name), style)
        return
    rows = service.catalog_rows(kind)
    _print_rows(rows, tuple(rows[0]) if rows else (), style)


def export(file: str, *, to: str, output: Path | None) -> None:
    """Write one DAG in another format, to stdout or into a folder."""
    from strategy.export import exporter

    exporter(to)
    document = open_document(file, _settings().max_document_bytes)
    if output is not None:
        from api.folder import export_files

        _save(export_files(dag_of(document), document.request, to), output)
        return
    artifacts = service.export(dag_of(document), to, document.request)
    binary = [artifact for artifact in artifacts if isinstance(artifact.content, bytes)]
    if binary and (len(artifacts) > 1 or sys.stdout.isatty()):
        raise InputError(
            f"{to} writes {len(artifacts)} files that are no text", hint="name a folder for them with -o DIR"
        )
    for artifact in artifacts:
        header = f"# ==> {artifact.name} <==\n" if len(artifacts) > 1 else ""
        sys.stdout.buffer.write(header.encode() + artifact.data)


def chat(thread: Path | None, *, proposer: str | None) -> None:
    """Talk on stdin and stdout."""
    from api.chat import chat as talk

    settings = _settings()
    named, replay = service.proposer_named(proposer)
    raise typer.Exit(
        talk(service.dependencies(settings, named or settings.proposer, replay=replay), thread_file=thread)
    )


def serve(*, host: str | None, port: int | None) -> None:
    """Run the REST server until it is told to stop."""
    from api.server import run

    changes = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load().model_copy(update=changes)
    logs.configure(settings)
    run(settings)


def worker() -> None:
    """Carry out stored runs until told to stop."""
    from api.worker_process import work

    settings = load()
    logs.configure(settings)
    work(settings)


def add_key(name: str, scopes: "tuple[Scope, ...]", *, rate_per_minute: int | None, plans_per_day: int | None) -> None:
    """Make a key; its text goes to stdout and nowhere else."""
    with _keys() as keys:
        key, text = keys.create(name, scopes, rate_per_minute=rate_per_minute, plans_per_day=plans_per_day)
    sys.stderr.write(f"key {key.id} for {key.name} ({', '.join(key.scopes)}); it is shown once:\n")
    sys.stdout.write(f"{text}\n")


def list_keys(*, style: str) -> None:
    """Every key without its secret."""
    with _keys() as keys:
        records = [key.model_dump(mode="json") for key in keys.all()]
    _print_rows(records, ("id", "name", "scopes", "rate_per_minute", "plans_per_day", "revoked_at"), style)


def revoke_key(identity: str) -> None:
    """End a key."""
    with _keys() as keys:
        sys.stderr.write(f"revoked {keys.revoke(identity).name}\n")


@contextmanager
def _keys() -> "Iterator[Keys]":
    """The keys in the database of the settings."""
    from api.state.keys import Keys
    from api.state.schema import open_state

    database = open_state(_settings().database.get_secret_value())
    try:
        yield Keys(database)
    finally:
        database.close()


def _settings() -> Settings:
    """Settings of a command: logs are for servers, a command shows warnings only unless told otherwise."""
    settings = load()
    chosen = None if "log_level" in settings.model_fields_set else "warning"
    logs.configure(settings, level=chosen)
    return settings


def _progress() -> "OnEvent | None":
    """Who tells a person at a terminal what a run is doing."""
    if not sys.stderr.isatty():
        return None
    from api.narrate import Narrator

    return Narrator().tell


def _read_request(name: str, settings: Settings) -> Request | str:
    source = read_source(name, settings.max_document_bytes)
    data = with_model_file(data_of(source), source, settings.max_document_bytes)
    if service.is_text(data):
        return service.read_ask(data)
    return fit_source(Request, data, source, "the request")


def _refuse_lonely_ray(batch: str | None, *, ray: bool) -> None:
    if ray and batch is None:
        raise InputError("--ray spreads the lines of a batch", hint="name one with --batch")
    if ray:
        imported_ray()


def _plan_batch(
    name: str, settings: Settings, proposer: service.Proposer | None, replay: Path | None, *, ray: bool
) -> None:
    source = Source(name, "")

    def answer(data: Any) -> dict[str, Any]:
        ask = service.read_ask(with_model_file(data, source, settings.max_document_bytes))
        return service.document(service.plan(ask, settings, proposer, replay=replay))

    _batch(name, settings, answer, ray=ray)


def _batch(name: str, settings: Settings, answer: Callable[[Any], dict[str, Any]], *, ray: bool) -> None:
    """One line in, one line out, in order; a line that fails is answered with its error. With `ray` a cluster does the work."""
    lines = read_lines(name, settings.max_document_bytes)

    def answered(numbered: tuple[int, str]) -> dict[str, Any]:
        number, line = numbered
        try:
            return answer(read_data(line, strict_json=True))
        except Exception as error:  # noqa: BLE001 - whatever one line does, the next ones are answered
            return error_line(error, line=number)

    for found in in_order(fan_out(answered, list(lines))) if ray else map(answered, lines):
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


def _print_result(result: Result, style: str, *, saved: bool) -> None:
    if style == "json":
        _json(service.document(result))
    elif style == "yaml":
        sys.stdout.write(_yaml(service.document(result)))
    elif style == "mermaid":
        if result.dag is None:
            raise InputError(
                f"there is no DAG to draw: the request is {result.status}", hint="use --format table to see why"
            )
        sys.stdout.write(service.export_text(result.dag, "mermaid"))
    else:
        from api import render, report

        render.show(report.result(result, saved=saved))


def _write_files(result: Result, folder: Path) -> None:
    """The result with everything that follows from it, and a README that says what is what."""
    from api import render, report
    from api.folder import plan_files

    _save(plan_files(result, render.text(report.result(result))), folder)


def _save(files: dict[str, bytes], folder: Path) -> None:
    """Write files into a folder, which is made when it does not exist."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
            if name.endswith(".sh"):
                (folder / name).chmod(0o755)
    except OSError as error:
        raise InputError(f"cannot write into {folder}: {error.strerror or error}") from None
    sys.stderr.write(f"wrote {_listed(list(files))} into {folder}\n")


def _listed(names: list[str]) -> str:
    """Names in a line, the middle of a long list left out."""
    return ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:3])}, ... {names[-1]} ({len(names)} files)"


def _print_judged(judged: list[Judged], style: str) -> None:
    if style == "json":
        _json([{"file": file.name, **_with_positions(file)} for file in judged])
    elif style == "sarif":
        from api.sarif import to_sarif
        from api.version import version

        summaries = {record["code"]: record["summary"] for record in service.rule_records()}
        sys.stdout.write(to_sarif(judged, summaries, version()) + "\n")
    elif style == "github":
        from api.github import to_github

        sys.stdout.write(to_github(judged) + "\n" if any(file.findings for file in judged) else "")
    else:
        from api import render

        for file in judged:
            render.show(render.judged(file))
        sys.stderr.write(f"{summary(judged)}\n" if judged else "")


def _with_positions(file: Judged) -> dict[str, Any]:
    """A judgement as JSON, each finding with its line and column."""
    told = file.judgement.model_dump(mode="json")
    for finding in told["findings"]:
        finding["line"], finding["column"] = file.position(finding["path"])
    return told


def _print_rows(records: Iterable[dict[str, Any]], columns: tuple[str, ...], style: str) -> None:
    if style == "json":
        _json(list(records))
        return
    from api import render

    rows = [[render.cell(record.get(name)) for name in columns] for record in records]
    render.show(render.table([render.heading(name) for name in columns], rows))


def _print_record(record: dict[str, Any], style: str) -> None:
    if style == "json":
        _json(record)
    else:
        sys.stdout.write(_yaml(record))


def _yaml(data: dict[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None))


def _json(data: object) -> None:
    sys.stdout.write(json.dumps(data, indent=2) + "\n")
