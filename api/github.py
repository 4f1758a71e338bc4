"""Findings as GitHub workflow commands, which become annotations on a pull request."""

from collections.abc import Iterable

from api.documents import Judged
from strategy.result import Finding

COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}


def to_github(files: Iterable[Judged]) -> str:
    """One command a finding."""
    return "\n".join(_command(file, finding) for file in files for finding in file.findings)


def _command(file: Judged, finding: Finding) -> str:
    line, column = file.position(finding.path)
    place = f"file={_property(file.name)},line={line},col={column},title={_property(finding.code)}"
    hint = f"\nhint: {finding.hint}" if finding.hint else ""
    return f"::{COMMANDS[finding.severity]} {place}::{_data(finding.path + ' ' + finding.message + hint)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
