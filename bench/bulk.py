"""A million texts through `Classifier.predict`: its rate beside the engine's own, and its memory.

    SENTIMENT_DATA=... .venv/bin/python -m bench.bulk [TEXTS]

The engine's own rate is that of runs over texts that are ids already and sorted by length, on as
many threads. The texts of the other benchmarks come again and again; nothing remembers them.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

from bench.serving.servers import kibibytes
from bench.serving.texts import load_texts
from model.classifier import Classifier
from model.engines import group_by_length
from model.progress import Progress
from service.settings import SHIPPED_MODEL


def resident_megabytes() -> float:
    """What this process holds now."""
    return kibibytes(Path("/proc/self/status"), "VmRSS:") * 1024 / 1e6


def engine_rate(classifier: Classifier, texts: list[str]) -> float:
    """Texts a second that the engine reads when all else has been done."""
    windows = [window for text in texts for window in classifier.encode(text).windows]
    groups = group_by_length([len(window) for window in windows])
    with ThreadPoolExecutor(classifier.threads) as pool:
        started = time.perf_counter()
        for _ in pool.map(classifier.probabilities, [[windows[i] for i in g] for g in groups]):
            pass
        return len(texts) / (time.perf_counter() - started)


def main(count: int) -> None:
    """Prints the figures."""
    classifier = Classifier.load(SHIPPED_MODEL, engine="onnx")
    texts = load_texts()
    own = engine_rate(classifier, texts)
    held = {}
    labels: dict[str, int] = {}
    started = time.perf_counter()
    with Progress("texts", count) as progress:
        predictions = classifier.predict(islice(cycle(texts), count), progress)
        for number, prediction in enumerate(predictions, start=1):
            labels[prediction.label] = labels.get(prediction.label, 0) + 1
            if number in (10_000, count):
                held[number] = resident_megabytes()
    rate = count / (time.perf_counter() - started)
    print(f"{count:,} texts: {rate:,.0f} a second, {rate / own:.2f} of the engine's own {own:,.0f}")
    for number, megabytes in held.items():
        print(f"after {number:,}: {megabytes:.0f} MB")
    print(labels)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
