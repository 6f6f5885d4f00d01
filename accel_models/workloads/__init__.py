"""Workloads: the layers of a network, what feeds them, and where they are read from."""
