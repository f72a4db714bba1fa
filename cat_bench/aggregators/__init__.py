"""Aggregators turn the rollouts of one question into one estimate; one file for each."""
