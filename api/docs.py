"""Generated pages: `python -m api.docs` writes them, `--check` says whether they are fresh.

The rules (validators/RULES.md), what engines can express (strategy/export/ENGINES.md), the settings table and the output of `make plan` in
README.md, the OpenAPI document (api/openapi.json), the names of models (knowledge/data/names.json).
"""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path

from pydantic import SecretStr

from api.app import create_app
from api.settings import PREFIX, Settings, variables
from knowledge.catalogue import NAMES, names_file
from strategy.capabilities import TABLE, Capabilities
from strategy.engine_limits import HANDOFFS
from validators.registry import Example, Rule, catalogue

ROOT = Path(__file__).parents[1]
SETTINGS = "<!-- settings: written by `make docs` -->", "<!-- settings end -->"
ROUNDING = re.compile(r"(?<=from one device )[\d.e-]+")
OUTPUT = "<!-- output: what `make plan` prints, written by `make docs` -->", "<!-- output end -->"


def pages() -> dict[Path, str]:
    """Every generated file with what it should hold."""
    readme = ROOT / "README.md"
    return {
        ROOT / "validators" / "RULES.md": rules_page(),
        ROOT / "api" / "openapi.json": json.dumps(
            create_app(Settings.model_construct()).openapi(), indent=1, sort_keys=True
        )
        + "\n",
        ROOT / "strategy" / "export" / "ENGINES.md": engines_page(),
        NAMES: names_file(),
        readme: with_output(with_settings(readme.read_text(encoding="utf-8"))),
    }


def rules_page() -> str:
    """Every rule: an index by family, then a section for each."""
    found = catalogue().values()
    errors = sum(rule.severity == "error" for rule in found)
    head = [
        "# Rules",
        "",
        f"{len(found)} rules, {errors} of them errors. Written by `make docs`; `meshwright rules CODE` tells all of one. Codes that have no rule",
        "are listed with the reason in [DECISIONS.md](../DECISIONS.md#rules-that-are-not-files).",
        "",
        *(_family_line(family, found) for family in dict.fromkeys(rule.family for rule in found)),
        "",
    ]
    return "\n".join([*head, *(line for rule in found for line in _rule_section(rule))])


def _family_line(family: str, rules: Iterable[Rule]) -> str:
    links = [f"[{rule.code}](#{rule.code.lower()})" for rule in rules if rule.family == family]
    return f"- **{family}** {' '.join(links)}"


def _rule_section(rule: Rule) -> list[str]:
    """One rule in full; the message of its failing example is the one that users get."""
    settles = f" Settles {', '.join(rule.settles)} of the sources." if rule.settles else ""
    lines = [
        f"## {rule.code}",
        "",
        f"`{rule.name}` ({rule.severity}, stage {rule.stage}). {rule.summary}{settles}",
        "",
        f"- why: [{rule.knowledge}](../knowledge/pages/{rule.knowledge})",
        f"- sources: {'; '.join(rule.sources)}",
        *(f"- passes: {example.name}" for example in rule.passes()),
        *(_failing(rule, example) for example in rule.fails()),
    ]
    if not rule.fails():
        lines.append(f"- message: {_inline(rule.message)} Hint: {_inline(rule.hint)}")
    return [*lines, ""]


def _failing(rule: Rule, example: Example) -> str:
    """A failing example with what is said about it."""
    found = rule.findings(example.make())
    told = f": {_inline(found[0].message)} Hint: {_inline(found[0].hint)}" if found else ""
    return f"- fails: {example.name}{told}"


def _inline(text: str) -> str:
    """A message as a sentence on one line of a page."""
    line = " ".join(text.split()).replace("<", "&lt;")
    return line if line.endswith((".", "?", "!")) else f"{line}."


def engines_page() -> str:
    """What each engine and version can express: a row a question, a column an engine."""
    rows, meanings = list(TABLE.values()), _field_docs(Capabilities)
    lines = [
        "# Engines",
        "",
        "What each engine can express, as `strategy/capabilities.py` has it and exports, search and the EN rules use it. Written by",
        "`make docs`. Dynamo runs workers of vLLM, SGLang and TensorRT-LLM on NVIDIA GPUs and takes their columns.",
        "",
        f"| | {' | '.join(f'{row.title} {row.version}' for row in rows)} |",
        f"| --- |{' --- |' * len(rows)}",
    ]
    for field in fields(Capabilities):
        if field.name not in ("engine", "title", "version"):
            cells = " | ".join(_cell(getattr(row, field.name)) for row in rows)
            lines.append(f"| `{field.name}` {meanings.get(field.name, '')} | {cells} |")
    return "\n".join([*lines, "", *_handoff_lines(), ""])


def _handoff_lines() -> list[str]:
    """Limits between two pools, which depend on both."""
    told = [
        f"- {connector}: {' '.join((inspect.getdoc(limit) or '').split())}" for connector, limit in HANDOFFS.items()
    ]
    return ["Between a prefill and a decode pool:", "", *told]


def _cell(value: object) -> str:
    if value is None or value in ((), {}):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(
            f"{ours} from {theirs}" if isinstance(theirs, int) else f"{ours} as `{theirs}`"
            for ours, theirs in value.items()
        )
    return ", ".join("none" if one is None else str(one) for one in value) if isinstance(value, tuple) else str(value)


def settings_table() -> str:
    """The settings as markdown."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, model, field in variables():
        info = model.model_fields[field]
        meaning = info.description or _field_docs(model).get(field, "")
        default = "required" if info.is_required() else _shown(info.get_default(call_default_factory=True))
        rows.append(f"| `{name}` | {default} | {meaning} |")
    return "\n".join(rows)


def with_settings(readme: str) -> str:
    """README.md with a fresh settings table between its markers."""
    return _between(readme, SETTINGS, settings_table())


def with_output(readme: str) -> str:
    """README.md with what its first command prints today; as it is where only rounding differs, which is another on each machine."""
    fresh = _between(readme, OUTPUT, f"```\n{plan_output()}```")
    return readme if ROUNDING.sub("", fresh) == ROUNDING.sub("", readme) else fresh


def _between(text: str, markers: tuple[str, str], content: str) -> str:
    """The text with `content` between two markers; as it is where they are not both there."""
    head, begin, rest = text.partition(markers[0])
    _, end, tail = rest.partition(markers[1])
    return f"{head}{begin}\n{content}\n{end}{tail}" if begin and end else text


@cache
def plan_output() -> str:
    """What `make plan` prints: the answer to the Makefile's request, under nobody's settings."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    request = next(line.partition("?=")[2].strip() for line in makefile.splitlines() if line.startswith("REQUEST ?="))
    environment = os.environ  # noqa: TID251 (the command runs under it, but for settings)
    own = {name: value for name, value in environment.items() if not name.startswith(PREFIX) and name != "COLUMNS"}
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(  # noqa: S603 (our own program)
            [sys.executable, "-c", "from api.cli import main; main()", "plan", request],
            env=own, cwd=elsewhere, capture_output=True, text=True, check=True,
        )  # fmt: skip
    return done.stdout


def main() -> None:
    """Write the pages, or with `--check` exit 1 when one is stale."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} is stale: run `make docs`\n")
        sys.exit(bool(stale))
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


def _field_docs(model: type[object]) -> dict[str, str]:
    """The string under each field of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, doc in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(doc, ast.Expr):
            found[field.target.id] = " ".join(str(ast.literal_eval(doc.value)).split())
    return found


def _shown(default: object) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default is None or default in ("", {}):
        return "-"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    main()
