"""One question: from its sample and its pool of rollouts to the rows of every method.

Input: a sample, the methods and the models in their roles. Output: rows for the run's tables.
Invariants: an aggregator never sees the target; every method reads the same subsets, which
`cat_bench.stats.subsets` chooses; a failure is a row with its reason, never a silent zero.
`questions` loops over questions, `method_rows` runs one method on one question, `grader` scores.
"""
