"""Graphs of operators made into a `Workload`, whatever file or program they come from.

A reader walks its graph and notes steps in `steps.Steps`, with `products` and `passes` for what
several operators have in common; `folding` moves into layers of the array what happens as their
outputs leave, and `assembling` puts the workload together.
"""
