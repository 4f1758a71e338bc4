"""The scripts of the page joined into one, so that a browser asks once: made when the process starts, there is no build step.

The page's modules import by path on lines of their own, whole names or `* as name`, and export functions, classes and constants only;
each becomes a function that is called once and returns what it exports, in an order in which imports come first.
"""

import re
from collections.abc import Iterator, Mapping

ROOT = "/page/"
IMPORT = re.compile(rf'^import (?:\{{ ([^}}]+) \}}|\* as (\w+)) from "{ROOT}(\w+)\.js";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
LEFT = re.compile(r"^\s*(?:import|export)\b[^(]", re.MULTILINE)


def joined(modules: Mapping[str, str], entry: str) -> str:
    """One module that does what `entry` does. Raises `ValueError` for imports in a circle or of another form, `KeyError` for unknown ones."""
    return "\n".join(_wrapped(name, modules[name]) for name in _ordered(modules, entry)) + "\n"


def _ordered(modules: Mapping[str, str], entry: str) -> list[str]:
    """Every module that is needed, behind those that it imports."""
    done: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"modules import each other: {' -> '.join((*above, name))}")
        if name not in done:
            for imported in _imports(modules[name]):
                visit(imported, (*above, name))
            done.append(name)

    visit(entry, ())
    return done


def _imports(text: str) -> Iterator[str]:
    return (found[3] for found in IMPORT.finditer(text))


def _wrapped(name: str, text: str) -> str:
    names = EXPORT.findall(text)
    body = EXPORT.sub("", IMPORT.sub(_taken, text))
    if left := LEFT.search(body):
        raise ValueError(f"{name}.js: cannot join `{left.group().strip()}`")
    return f"// --- {name}.js\nconst ${name} = (() => {{\n{body}return {{ {', '.join(names)} }};\n}})();"


def _taken(found: "re.Match[str]") -> str:
    names, whole, module = found.groups()
    return f"const {whole} = ${module};\n" if whole else f"const {{ {names.replace(' as ', ': ')} }} = ${module};\n"
