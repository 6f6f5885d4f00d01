"""What each stage of training does."""
