"""One engine in a process and an environment of its own: `python -m bench.engines.worker`.

Its arguments are the engine and the directory that `bench.engines.networks` wrote. It prints a line
of JSON when the network is loaded, one for each line "ROWS TOKENS" of its input, and one at the
end. It imports the engine, NumPy and the standard library alone, since no more is installed.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Run = Callable[[Array], Array]

SECONDS = 0.02
FEWEST_RUNS = 3


def resident() -> float:
    """The resident memory of this process, in MB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found, status
    return int(found[1]) * 1024 / 1e6


def onnxruntime_run(graph: Path) -> Run:
    """ONNX Runtime, with the options of ``model.engines.session_options``."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_mem_pattern = False
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def run(ids: Array) -> Array:
        logits: Array = session.run(None, {"ids": ids, "lengths": _lengths(ids)})[0]
        return logits

    return run


def openvino_run(graph: Path) -> Run:
    """OpenVINO, with its own choice of precision."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()

    def run(ids: Array) -> Array:
        logits: Array = request.infer({"ids": ids, "lengths": _lengths(ids)})["logits"]
        return logits

    return run


def ncnn_run(directory: Path, network: str) -> Run:
    """The LSTM in ncnn, which runs one row at a time, and the rest of the network in NumPy."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = 1
    net.load_param(str(directory / f"{network}.param"))
    net.load_model(str(directory / f"{network}.bin"))
    with np.load(directory / "int8.npz") as loaded:
        names = ("embedding", "embedding_scale", "attention", "output_weights", "output_bias")
        embedding, scale, attention, output, bias = (loaded[name] for name in names)

    def states(vectors: Array) -> Array:
        extractor = net.create_extractor()
        extractor.input("vectors", ncnn.Mat(vectors))
        return np.array(extractor.extract("states")[1])  # (T, 2H)

    def run(ids: Array) -> Array:
        vectors = embedding[ids] * scale[ids]  # (B, T, E)
        read = np.stack([states(row) for row in vectors])  # (B, T, 2H)
        scores = read @ attention  # (B, T, 1)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        attended = (shares.transpose(0, 2, 1) @ read)[:, 0]  # (B, 2H)
        pooled = np.concatenate([attended, read.max(axis=1), read.mean(axis=1)], axis=1)
        logits: Array = pooled @ output.T + bias
        return logits

    return run


def torch_run(directory: Path, precision: str) -> Run:
    """PyTorch's own LSTM, for rows of one length."""
    import torch
    from torch import Tensor, nn

    torch.set_num_threads(1)
    with np.load(directory / "float32.npz") as loaded:
        tensors = {name: torch.from_numpy(loaded[name]) for name in loaded.files}

    class Network(nn.Module):
        """``model.network.SentimentNetwork``, its two LSTMs as one of two directions."""

        def __init__(self) -> None:
            super().__init__()
            size, hidden = (
                tensors["lstm.weight_ih_l0"].shape[1],
                tensors["lstm.weight_hh_l0"].shape[1],
            )
            self.embedding = nn.Embedding(*tensors["embedding.weight"].shape)
            self.lstm = nn.LSTM(size, hidden, batch_first=True, bidirectional=True)
            self.attention = nn.Linear(2 * hidden, 1)
            self.output = nn.Linear(6 * hidden, len(tensors["output.bias"]))

        def forward(self, ids: Tensor) -> Tensor:
            states = self.lstm(self.embedding(ids))[0]  # (B, T, 2H)
            attended = (states * self.attention(states).softmax(dim=1)).sum(dim=1)
            pooled = torch.cat([attended, states.amax(dim=1), states.mean(dim=1)], dim=1)
            logits: Tensor = self.output(pooled)
            return logits

    network: Any = Network().eval()
    network.load_state_dict(tensors)
    tensors.clear()
    if precision == "int8":
        network = torch.ao.quantization.quantize_dynamic(network, {nn.LSTM}, dtype=torch.qint8)
    elif precision == "bfloat16":
        network.bfloat16()

    def run(ids: Array) -> Array:
        with torch.inference_mode():
            logits: Array = network(torch.from_numpy(ids)).float().numpy()
        return logits

    return run


def _lengths(ids: Array) -> Array:
    return np.full(len(ids), ids.shape[1])


RUNS: dict[str, Callable[[Path], Run]] = {
    "onnxruntime": lambda directory: onnxruntime_run(directory / "shipped.onnx"),
    "onnxruntime, separate operators": lambda directory: onnxruntime_run(
        directory / "separate.onnx"
    ),
    "openvino": lambda directory: openvino_run(directory / "shipped.onnx"),
    "ncnn, float32": lambda directory: ncnn_run(directory, "float32"),
    "ncnn, int8": lambda directory: ncnn_run(directory, "int8"),
    "torch, float32": lambda directory: torch_run(directory, "float32"),
    "torch, int8": lambda directory: torch_run(directory, "int8"),
    "torch, bfloat16": lambda directory: torch_run(directory, "bfloat16"),
}


def timed(run: Run, ids: Array) -> dict[str, Any]:
    """The logits of a first run, and the median processor time of more, threads of it included."""
    logits = run(ids)
    durations: list[float] = []
    while sum(durations) < SECONDS or len(durations) < FEWEST_RUNS:
        started = time.process_time()
        run(ids)
        durations.append(time.process_time() - started)
    return {"seconds": median(durations), "logits": logits.tolist()}


def main(engine: str, directory: Path) -> None:
    """Answers one line of input after the other."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    before = resident()
    ids = np.load(directory / "ids.npy")
    started = time.process_time()
    run = RUNS[engine](directory)
    run(ids[:1, :1])
    seconds = time.process_time() - started
    print(json.dumps({"seconds": seconds, "megabytes": resident() - before}), flush=True)
    for line in sys.stdin:
        rows, tokens = map(int, line.split())
        print(json.dumps(timed(run, np.ascontiguousarray(ids[:rows, :tokens]))), flush=True)
    print(json.dumps({"megabytes": resident() - before}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
