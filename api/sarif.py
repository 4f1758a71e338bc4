"""Findings as SARIF 2.1.0, which code-scanning services read."""

import json
from collections.abc import Sequence
from typing import Any

from api.documents import Judged
from strategy.result import Finding

LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def to_sarif(files: Sequence[Judged], rules: dict[str, str], version: str) -> str:
    """One run over every file. `rules` maps the codes that may be met to their summaries."""
    codes = sorted({finding.code for file in files for finding in file.findings})
    driver = {
        "name": "meshwright",
        "semanticVersion": version,
        "rules": [{"id": code, "shortDescription": {"text": rules.get(code, code)}} for code in codes],
    }
    results = [_result(file, finding, codes) for file in files for finding in file.findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"version": "2.1.0", "runs": [run]}, indent=2)


def _result(file: Judged, finding: Finding, codes: Sequence[str]) -> dict[str, Any]:
    line, column = file.position(finding.path)
    hint = f". Hint: {finding.hint}" if finding.hint else ""
    location = {
        "physicalLocation": {
            "artifactLocation": {"uri": file.name.replace("\\", "/")},
            "region": {"startLine": line, "startColumn": column},
        },
        "logicalLocations": [{"fullyQualifiedName": finding.path or "/"}],
    }
    return {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": LEVELS[finding.severity],
        "message": {"text": f"{finding.message}{hint}"},
        "locations": [location],
    }
