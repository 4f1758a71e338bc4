"""What operators watch, in Prometheus' text form. Each application counts for itself."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from strategy.result import Result

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)


class Metrics:
    """The counters of one process. Labels come from fixed sets only, never from what a client sends."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made = self.registry
        self._requests = Counter(
            "meshwright_requests", "Requests answered", ["method", "route", "status"], registry=made
        )
        self._seconds = Histogram(
            "meshwright_request_seconds", "Time to the end of the answer", ["route"], buckets=SECONDS, registry=made
        )
        self._plans = Counter("meshwright_plans", "Plans made", ["status", "origin"], registry=made)
        self._tokens = Counter("meshwright_llm_tokens", "Tokens of the language model", ["direction"], registry=made)
        self._ended = Counter("meshwright_runs_ended", "Stored runs that ended here", ["status"], registry=made)
        self.refused = Counter("meshwright_refused", "Requests turned away", ["reason"], registry=made)
        self.in_flight = Gauge("meshwright_requests_in_flight", "Requests being answered", registry=made)
        self.runs = Gauge("meshwright_runs", "Stored runs by status", ["status"], registry=made)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def planned(self, result: Result) -> None:
        """Count one plan and its tokens."""
        self._plans.labels(result.status, result.origin).inc()
        self._tokens.labels("input").inc(result.usage.input_tokens)
        self._tokens.labels("output").inc(result.usage.output_tokens)

    def run_ended(self, status: str) -> None:
        """Count the outcome of a stored run."""
        self._ended.labels(status).inc()

    def page(self) -> bytes:
        """All of it as text."""
        return generate_latest(self.registry)
