"""The OpenAPI document as a page to read: one static document, no script, nothing from another host."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

Json = Mapping[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")
HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: the REST API</title>
<link rel="icon" href="/page/icon.svg">
<link rel="stylesheet" href="/page/reference.css">
</head>
<body>
<header><h1>{title} {version}</h1><p>{summary} Machine-readable: <a href="/openapi.json">/openapi.json</a>.</p></header>
<main>
"""


def reference(document: Json) -> str:
    """The page: an index, every operation with its parameters, bodies and answers, then every schema."""
    info = document["info"]
    head = {name: escape(str(info.get(name, ""))) for name in ("title", "version", "summary")}
    operations = [(method, path, one) for path, item in document["paths"].items() for method, one in _methods(item)]
    schemas = document.get("components", {}).get("schemas", {})
    parts = [HEAD.format(**head), _index(operations)]
    parts += [_operation(method, path, one) for method, path, one in operations]
    parts += ['<h2 id="schemas">Schemas</h2>\n', *(_schema(name, schemas[name]) for name in sorted(schemas))]
    return "".join([*parts, "</main>\n</body>\n</html>\n"])


def _methods(item: Json) -> Iterator[tuple[str, Json]]:
    return ((method, item[method]) for method in METHODS if method in item)


def _place(method: str, path: str) -> str:
    """The anchor of an operation."""
    return escape(f"{method}{path}".replace("{", "").replace("}", ""), quote=True)


def _index(operations: list[tuple[str, str, Json]]) -> str:
    rows = "".join(
        f'<li><a href="#{_place(method, path)}"><b>{method.upper()}</b> <code>{escape(path)}</code></a> {escape(one.get("summary", ""))}</li>\n'
        for method, path, one in operations
    )
    return f"<nav><ul>\n{rows}</ul></nav>\n"


def _operation(method: str, path: str, one: Json) -> str:
    told = escape(one.get("description", one.get("summary", "")))
    title = f'<h2 id="{_place(method, path)}"><b>{method.upper()}</b> <code>{escape(path)}</code></h2>'
    parameters = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}{', required' if p.get('required') else ''}</td>"
        f"<td>{_type(p.get('schema', {}))}</td><td>{escape(p.get('description', ''))}</td></tr>\n"
        for p in one.get("parameters", ())
    )
    body = _contents("Body", one.get("requestBody", {}))
    answers = "".join(_contents(f"{status}", answer) for status, answer in one.get("responses", {}).items())
    table = f"<table>\n{parameters}</table>\n" if parameters else ""
    return f"<section>\n{title}\n<p>{told}</p>\n{table}<dl>\n{body}{answers}</dl>\n</section>\n"


def _contents(name: str, part: Json) -> str:
    """What a body or an answer holds: its media types with their schemas, its description and its examples."""
    if not part:
        return ""
    kinds = "".join(
        f"<dd><code>{escape(kind)}</code> {_type(held.get('schema', {}))}{_example(held)}</dd>\n"
        for kind, held in part.get("content", {}).items()
    )
    return f"<dt>{escape(name)}</dt>\n<dd>{escape(part.get('description', ''))}</dd>\n{kinds}"


def _example(held: Json) -> str:
    shown = [held["example"]] if "example" in held else [one.get("value") for one in held.get("examples", {}).values()]
    return "".join(f"<pre>{escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>" for value in shown)


def _type(schema: Json) -> str:
    """A schema in a few words, with links to those that have names."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2], quote=True)
        return f'<a href="#schema-{name}">{name}</a>'
    for joint in ("anyOf", "oneOf", "allOf"):
        if joint in schema:
            return " or ".join(_type(one) for one in schema[joint])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const']))}</code>"
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<", "maxLength": "length ≤"}
    told = "".join(f", {sign} {schema[name]}" for name, sign in limits.items() if name in schema)
    return escape(f"{' or '.join(kind) if isinstance(kind, list) else kind}{told}")


def _schema(name: str, schema: Json) -> str:
    needed = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code></td><td>{'required' if field in needed else ''}</td><td>{_type(one)}</td>"
        f"<td>{escape(one.get('description', ''))}</td></tr>\n"
        for field, one in schema.get("properties", {}).items()
    )
    told = escape(schema.get("description", ""))
    held = f"<table>\n{rows}</table>" if rows else f"<p>{_type(schema)}</p>"
    return f'<section>\n<h3 id="schema-{escape(name, quote=True)}">{escape(name)}</h3>\n<p>{told}</p>\n{held}\n</section>\n'
