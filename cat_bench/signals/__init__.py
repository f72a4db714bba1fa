"""Numbers that rank rollouts, higher is better; one file is one idea."""
