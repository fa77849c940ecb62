"""Texts a second on a Ray cluster of one node and of two, each with one processor.

    SENTIMENT_DATA=... .venv/bin/python -m bench.ray_nodes [TEXTS]

Both are this machine: the driver, Ray's own processes and whatever else runs take their share of
the same processors, so two nodes show less here than two machines do.
"""

import subprocess
import sys
import time
from itertools import cycle, islice

from bench.document import machine
from bench.nodes import apart, nodes
from bench.serving.texts import load_texts
from model.bulk.ray_classifier import RayClassifier, connected
from service.settings import SHIPPED_MODEL


def rate(count: int, texts: int) -> float:
    """Texts a second on so many nodes, with the time in which each loads the model."""
    read = list(islice(cycle(load_texts()), texts))
    with nodes(count) as cluster, connected(cluster.address):
        classifier = RayClassifier(SHIPPED_MODEL)
        started = time.perf_counter()
        answers = sum(1 for _ in classifier.predict(read))
        return answers / (time.perf_counter() - started)


def main(texts: str) -> None:
    """Measures each cluster in a process and a network of its own, and prints the figures."""
    print(machine())
    rates = []
    for count in (1, 2):
        command = apart("bench.ray_nodes", texts, str(count))
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rates.append(float(output.splitlines()[-1]))
        print(f"{count} of one processor: {rates[-1]:,.0f} texts a second", flush=True)
    print(f"two to one: {rates[1] / rates[0]:.2f}")


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[1:]:
        print(rate(int(given[1]), int(given[0])))
    else:
        main(*given or ["60000"])
