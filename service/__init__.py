"""The HTTP service: everything that knows of requests and responses, and nothing else."""

import os

# Inferences run side by side, one a processor; threads of NumPy's own would only fight them. It
# counts them when it is first imported, which is later.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
