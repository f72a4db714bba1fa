"""Audits: judges against people's labels, and rewards against known scores.

Input: a task, models, and labels or golds. Output: figures with intervals, and warnings. An audit
reads targets to check others; nothing here shows a target to an estimator or trains a model.
"""
