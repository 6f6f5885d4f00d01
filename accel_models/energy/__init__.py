"""Published prices of memories and arithmetic, and how they scale."""
