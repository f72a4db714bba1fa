"""The two bundled models: weights, problems and parsers, registered by entry points.

`tally` (sums, with a final answer) and `counsel` (advice, without one) let the harness sample,
synthesise, select and score on a machine without GPU, key or network. Messages come in, completions
go out. No other room may know their names; figures measured on them say nothing of real models.
"""
