"""A small network and its choices, to be priced."""

from networks import gated_pair

CHOICES = "8,skip,2,4"  # the highest first, so that no test relies on the usual order


WORKLOAD = gated_pair()
