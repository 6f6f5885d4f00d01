"""Decision units on kernels compiled for the CPU, behind one face and one switch.

A network does without them: with the environment variable ``DFS_HW_COMPILED_BLOCKS`` set to ``off``
every block runs layer by layer, to the same values but for rounding, and numba is not imported.
Nothing outside this package imports from inside it; `kernels` holds what is compiled.
"""

from dfs_hw.networks.compiled_blocks.autograd import run_chosen, run_gated, serves
from dfs_hw.networks.compiled_blocks.parameters import unit_of
from dfs_hw.networks.compiled_blocks.switch import SWITCH, switched_on

__all__ = ["SWITCH", "run_chosen", "run_gated", "serves", "switched_on", "unit_of"]
