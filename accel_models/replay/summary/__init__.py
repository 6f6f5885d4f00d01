"""What a replay comes to: means, percentiles, and what each effect adds."""
