"""Libraries and interpreter, set up once for a whole process."""

import gc
import os

# Allocations between two collections. A request makes hundreds of objects and hardly a cycle.
_COLLECTION_THRESHOLD = 20_000


def configure_libraries() -> None:
    """Keep NumPy's BLAS from starting threads, unless the environment says how many.

    Inference runs one thread per CPU already, which further threads would only compete with.
    OpenBLAS reads the variable when NumPy is first imported. Worker processes inherit it.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def collect_rarely() -> None:
    """Let many objects be made between two collections: imports make many and hardly a cycle."""
    gc.set_threshold(_COLLECTION_THRESHOLD)


def exclude_from_collection() -> None:
    """Collect rarely, and exclude everything loaded so far from later collections.

    Call it after the models are loaded: without their vocabularies there is little to traverse.
    """
    collect_rarely()
    gc.collect()
    gc.freeze()
