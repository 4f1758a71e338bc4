"""Measure the loop, offline: suites of samples, scorers, logs and reports."""
