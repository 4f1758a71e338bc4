"""The domain: request, strategy, DAG, and what is computed from them (build, expand, execute, cost, search, export)."""
