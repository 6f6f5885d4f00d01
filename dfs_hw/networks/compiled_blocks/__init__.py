"""Residual blocks compiled for the CPU, behind one switch: without them, PyTorch runs everything."""
