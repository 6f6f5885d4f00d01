"""The compiled datapath."""
