"""Suites, one a file; `evals.suite.suites` finds them."""
