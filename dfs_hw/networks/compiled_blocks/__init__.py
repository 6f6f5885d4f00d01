"""Residual blocks compiled for the CPU, behind one switch; without it, PyTorch runs them."""
