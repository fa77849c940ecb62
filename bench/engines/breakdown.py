"""Where the engine's time goes: by rows of a run, by operator, and by threads that run it.

    .venv/bin/python -m bench.engines.breakdown

prints the microseconds of one step (one id of every row, both directions), the share of each
operator by ONNX Runtime's own profiler, and the rate of one and of all processors.
"""

import json
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np

from model import artifact as artifacts
from model.engines import (
    BATCH_SIZE,
    OnnxEngine,
    available_cpus,
    import_onnxruntime,
    onnx_model,
    session_options,
)
from service.settings import SHIPPED_MODEL

ROWS = (1, 2, 4, 8, 16, 32, 64)
STEPS = 32
RUNS = 30


def batch(rows: int, vocabulary: int, steps: int = STEPS) -> list[list[int]]:
    """Rows of any ids."""
    generator = np.random.default_rng(0)
    return [list(map(int, generator.integers(2, vocabulary, steps))) for _ in range(rows)]


def seconds(engine: OnnxEngine, ids: list[list[int]]) -> float:
    """The median time of a run."""
    durations = []
    for _ in range(RUNS):
        started = time.perf_counter()
        engine.logits(ids)
        durations.append(time.perf_counter() - started)
    return median(durations)


def operators(graph: bytes, ids: list[list[int]]) -> Counter[str]:
    """The microseconds of each operator over all runs."""
    options = session_options()
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as directory:
        options.profile_file_prefix = f"{directory}/profile"
        session = import_onnxruntime().InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )
        lengths = np.full(len(ids), STEPS)
        for _ in range(RUNS):
            session.run(None, {"ids": np.array(ids), "lengths": lengths})
        events = json.loads(Path(session.end_profiling()).read_text())
    found: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            found[event["args"]["op_name"]] += event["dur"]
    return found


def main() -> None:
    """Prints Markdown."""
    artifact = artifacts.load(SHIPPED_MODEL)
    engine = OnnxEngine(artifact)
    vocabulary = len(artifact.vocabulary)
    print("| rows of a run | µs a step | µs a step and row |\n|---:|---:|---:|")
    taken = {rows: seconds(engine, batch(rows, vocabulary)) / STEPS * 1e6 for rows in ROWS}
    for rows, step in taken.items():
        print(f"| {rows} | {step:.0f} | {step / rows:.1f} |")

    found = operators(onnx_model(artifact), batch(BATCH_SIZE, vocabulary))
    total = sum(found.values())
    print(f"\n| operator, {BATCH_SIZE} rows | share |\n|---|---:|")
    for name, spent in found.most_common(6):
        print(f"| {name} | {100 * spent / total:.0f}% |")

    ids = batch(BATCH_SIZE, vocabulary)
    rates = {}
    for threads in sorted({1, available_cpus()}):
        with ThreadPoolExecutor(threads) as pool:
            started = time.perf_counter()
            list(pool.map(lambda _: engine.logits(ids), range(threads * 4 * RUNS)))
            rates[threads] = threads * 4 * RUNS / (time.perf_counter() - started)
    for threads, rate in rates.items():
        print(f"\n{threads} at a time: {rate / rates[1]:.2f} of the runs a second of one")


if __name__ == "__main__":
    main()
