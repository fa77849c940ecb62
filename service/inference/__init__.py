"""The way of texts from a request to the engine and back."""
