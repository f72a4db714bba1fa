"""Verdicts on texts against a target; one file is one notion of right."""
