"""The HTTP service: everything that knows of requests and responses, and nothing else."""
