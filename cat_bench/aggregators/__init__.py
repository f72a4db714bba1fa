"""Rules that turn the rollouts of one question into one estimate; one file is one idea."""
