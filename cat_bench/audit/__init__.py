"""Audits: judges against people's labels, and rewards against known scores."""
