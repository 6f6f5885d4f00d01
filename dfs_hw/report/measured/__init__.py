"""What a report states, worked out of a replay or a simulation."""
