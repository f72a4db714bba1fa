"""Training on rewards from estimates: the adapters to trainers, and what is measured around them.

No trainer is written here. `groups` makes a reward of this package one for TRL's GRPOTrainer,
`verl` one for verl; `recipes` names what is trained on and how; `training` runs a recipe on one
machine, measured before and after by the harness itself. What needs TRL or torch imports it late.
"""
