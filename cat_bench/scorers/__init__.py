"""Scorers: verdicts on texts against a target; one file for each."""
