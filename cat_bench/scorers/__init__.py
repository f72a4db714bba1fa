"""Scorers: verdicts on texts against a target; one file per scorer.

Input: texts and a target. Output: a score with its reason, or the reason why there is none. A
scorer reads the answer only from the text, so that the target cannot help a text. Reading and
solving run in workers with limits of time and memory; a model's program runs in a sandbox only.
"""
