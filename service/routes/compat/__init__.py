"""Adapters: the wire formats of other services."""
