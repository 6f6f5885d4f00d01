"""The compiled kernels of residual blocks, forwards and backwards."""
