"""What makes a model: teachers to learn from."""
