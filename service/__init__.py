"""The HTTP service and the command line that starts it."""
