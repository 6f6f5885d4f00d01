"""What a report can be made of: runs, traces, networks, comparisons, and reports' JSON."""
