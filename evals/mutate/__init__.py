"""The fuzzer: random legal strategies, random semantic mutations of their DAGs, and what rules and execution say of each.

`strategies` draws, `mutations` breaks, `judge` compares the two verdicts and makes a disagreement small, `campaign` runs many.
`python -m evals.mutate --mutants 20000` runs a large campaign by itself.
"""
