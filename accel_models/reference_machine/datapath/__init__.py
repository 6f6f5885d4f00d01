"""The datapath: what arrays compute of a layer, bit by bit and cycle by cycle."""
