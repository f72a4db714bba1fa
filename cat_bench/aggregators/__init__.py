"""Aggregators turn the rollouts of one question into one estimate; one file for each.

Input: a question, some of its rollouts, and a context that gives access to models. Output: an
`Estimate`, which picks rollouts, is a new text, or abstains. An aggregator never sees the target,
never reads rollouts that it was not given, and calls a model only through its context.
"""
