"""Judges held against people's labels, and against each other."""
