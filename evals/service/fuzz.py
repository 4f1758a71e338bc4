"""Generated requests against the whole OpenAPI document.

No 5xx that is not an honest "later", no traceback, no answer that the document does not describe, none over its time limit.
"""

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

SLOWEST_S = 30.0
LATER = frozenset({503})
"""With Retry-After, and only so."""
TRACES = re.compile(r"Traceback \(most recent call last\)|File \"[^\"]+\.py\", line")


@dataclass
class Report:
    """What was sent and what came back."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


def fuzz(url: str, requests: int, seed: int, *, headers: dict[str, str] | None = None) -> Report:
    """Send about so many requests, spread evenly over the operations."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from schemathesis.core.result import Ok

    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    report = Report()
    for operation in operations:
        examples = max(1, requests // len(operations))

        def send(case: Any) -> None:
            _send(case, report, headers or {})

        limits = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        seeded(seed)(limits(given(case=operation.as_strategy())(send)))()
    return report


def _send(case: Any, report: Report, headers: dict[str, str]) -> None:
    from schemathesis.core.failures import FailureGroup

    began = time.monotonic()
    response = case.call(headers=headers, timeout=SLOWEST_S * 2)
    seconds = time.monotonic() - began
    report.requests += 1
    report.statuses[response.status_code] += 1
    report.slowest_s = max(report.slowest_s, seconds)
    name = f"{case.method} {case.formatted_path[:200]}"
    if response.status_code >= 500 and not (response.status_code in LATER and "retry-after" in response.headers):
        report.faults.append(f"{name}: {response.status_code} {response.text[:300]} {case.as_curl_command()[:1500]}")
    if TRACES.search(response.text):
        report.faults.append(f"{name}: a traceback")
    if seconds > SLOWEST_S:
        report.faults.append(f"{name}: {seconds:.1f} s {case.as_curl_command()[:1500]}")
    try:
        case.validate_response(response, checks=_checks())
    except FailureGroup as failures:
        report.faults += [f"{name}: {failure.title}: {failure.message[:300]}" for failure in failures.exceptions]


def _checks() -> list[Any]:
    """Statuses, types and shapes are those that the document says."""
    from schemathesis.checks import CHECKS, load_all_checks

    load_all_checks()
    names = ["status_code_conformance", "content_type_conformance", "response_schema_conformance"]
    return list(CHECKS.get_by_names(names))
