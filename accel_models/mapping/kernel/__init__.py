"""The compiled search for mappings, and the compiled walk through one."""
