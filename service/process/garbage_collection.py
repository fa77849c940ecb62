"""Python's garbage collector, tuned for a process that serves."""

import gc

# Objects between two collections. A request makes hundreds and hardly a cycle.
_THRESHOLD = 20_000


def tune_garbage_collection() -> None:
    """Collect rarely, and never look again at what has been loaded.

    Call it after the models are loaded: without the vocabulary, a collection has little to look
    through.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_THRESHOLD)
