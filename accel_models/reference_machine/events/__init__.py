"""The timeline: when DRAM, array and vector unit do what, event by event."""
