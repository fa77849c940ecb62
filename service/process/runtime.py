"""What holds for a whole process and must be set before heavy packages are imported."""

import os


def configure_libraries() -> None:
    """Keep NumPy's BLAS from starting threads, unless the environment says how many.

    Inference runs one thread per CPU already, which further threads would only compete with.
    OpenBLAS reads the variable when NumPy is first imported. Worker processes inherit it.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
