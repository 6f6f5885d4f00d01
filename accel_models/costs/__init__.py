"""What networks cost on machines: simulation, the cost table and what they are made of."""
