"""Machines as data: one file each, checked when it is read, and the arithmetic of their arrays."""
