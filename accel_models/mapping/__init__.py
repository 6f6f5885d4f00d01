"""How a layer is tiled, ordered and laid on the array: the problem, its search, its parts."""
