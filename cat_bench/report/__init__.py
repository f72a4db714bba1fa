"""Tables and figures from a run's records; nothing here computes a score."""
