"""Mappings of one layer onto a machine: the problem, the search for the best, its parts."""
