"""Exports before the real tools: engines' own parsers, ASTRA-sim, Graphviz and others, each in an environment of its own."""
