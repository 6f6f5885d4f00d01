"""The compiled residual blocks: all that numba compiles of them."""
