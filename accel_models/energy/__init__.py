"""Energy and area of arrays, SRAM and DRAM, and the published tables they are taken from."""
