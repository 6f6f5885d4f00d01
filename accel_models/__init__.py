"""Cost models of bit-flexible accelerators: cycles and energy of a network at any precision."""
