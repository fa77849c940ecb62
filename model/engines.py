"""Engines that run the network: ids in, logits out."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from model.artifact import INT8_WEIGHTS, Artifact
from model.config import LABELS
from model.errors import ArtifactError, ConfigError
from model.files import release_pages
from model.onnx_graph import build_graph
from model.text.vocabulary import PADDING_ID, UNKNOWN_ID

Logits = NDArray[np.float32]
# Maximum number of sequences per run; larger batches gain nothing on a CPU.
BATCH_SIZE = 16
# Maximum number of ids per run, padding included: the memory of a run grows with it.
BATCH_IDS = 512

EngineName = Literal["onnx", "torch"]
EngineChoice = Literal["auto", "onnx", "torch"]


class Engine(Protocol):
    """Runs batches of the network, each in the calling thread.

    Several threads may run one batch each at the same time. That makes better use of several CPUs
    than spreading one batch over them, since the steps of an LSTM are short and sequential.
    """

    name: str

    def logits(self, batch: Sequence[Sequence[int]]) -> Logits:
        """Return logits (texts, labels) for non-empty sequences of ids of any length."""
        ...


def available_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of CPUs this process may use, by affinity and by the container's limit.

    Libraries that count the host's cores instead start too many threads and are throttled.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # cgroup v2, then v1.
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((cgroup / file).read_text() for file in files).split()
        except (OSError, ValueError):
            continue
        if quota not in ("max", "-1"):
            return max(1, min(cpus, int(quota) // int(period)))
    return cpus


def pad(
    batch: Sequence[Sequence[int]] | Sequence[NDArray[np.int32]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return right-padded ids (texts, longest) and lengths (texts,)."""
    lengths = np.fromiter(map(len, batch), dtype=np.int64, count=len(batch))
    ids = np.full((len(batch), int(lengths.max())), PADDING_ID, dtype=np.int64)
    for row, sequence, length in zip(ids, batch, lengths, strict=True):
        row[:length] = np.asarray(sequence)
    return ids, lengths


def group_by_length(lengths: Sequence[int], size: int = BATCH_SIZE) -> list[list[int]]:
    """Return groups of indices of sequences to run together, the longest first.

    A group has at most ``size`` sequences and ``BATCH_IDS`` ids, and none shorter than half its
    longest: padding it would cost more than another run.
    """
    longest_first = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    groups: list[list[int]] = []
    room = longest = 0
    for index in longest_first:
        if not room or 2 * lengths[index] < longest:
            longest = lengths[index]
            room = min(size, max(1, BATCH_IDS // longest))
            groups.append([])
        groups[-1].append(index)
        room -= 1
    return groups


def import_onnxruntime() -> Any:
    """Import ONNX Runtime, which takes half a second, on first use.

    It sends telemetry unless told not to before it is imported. That is done here and not when a
    process starts, so that it also holds for programs that use this package as a library.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


def onnx_model(artifact: Artifact) -> bytes:
    """Return the artifact's int8 network as an ONNX file.

    Raises:
        ArtifactError: the artifact has no int8 weights.
    """
    if artifact.int8_weights is None:
        raise ArtifactError(
            f"the artifact has no {INT8_WEIGHTS}; run sentiment export on it, or set "
            "SENTIMENT_ENGINE to torch"
        )
    model = build_graph(artifact.int8_weights)
    release_pages(artifact.int8_weights.values())  # the engine has a copy of its own
    return model


def session_options() -> Any:
    """Return ONNX Runtime's options for a session that runs in the calling thread."""
    options = import_onnxruntime().SessionOptions()
    options.intra_op_num_threads = 1
    # Plans memory for recurring shapes, but batches rarely have the same one.
    options.enable_mem_pattern = False
    return options


class OnnxEngine:
    """The fast engine on a CPU: int8 in ONNX Runtime. It never imports torch.

    Its products are exact on every CPU, since the LSTM matrices stay within what 16 bits hold.
    Texts in one batch share their rounding, so a text's probabilities may differ in the third
    digit with the texts beside it.
    """

    name = "onnx"

    def __init__(self, artifact: Artifact) -> None:
        """Open a session on the artifact's int8 weights.

        Raises:
            ArtifactError: the artifact has none, or ONNX Runtime cannot use them.
        """
        model = onnx_model(artifact)
        onnxruntime, options = import_onnxruntime(), session_options()
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors have no base class of their own
            problem = str(error).splitlines()[0]
            raise ArtifactError(f"{INT8_WEIGHTS} cannot be used: {problem}") from None

    def logits(self, batch: Sequence[Sequence[int]]) -> Logits:
        """See ``Engine.logits``."""
        ids, lengths = pad(batch)
        logits: Logits = self._session.run(None, {"ids": ids, "lengths": lengths})[0]
        return logits


class TorchEngine:
    """Float32 in PyTorch: what the int8 engine is measured against."""

    name = "torch"

    def __init__(self, artifact: Artifact) -> None:
        """Build the artifact's network.

        Raises:
            ConfigError: torch is not installed.
        """
        try:
            import torch  # takes seconds, so only this engine imports it
        except ModuleNotFoundError:
            raise ConfigError(
                "the torch engine needs the package torch; run make .venv/torch.installed, or "
                "pip install 'zh-sentiment[torch]'"
            ) from None

        from model.network import SentimentNetwork

        # For the whole process: every run has a thread of its own (see Engine), and a second pool
        # of threads per run would compete with the others. Training sets its own number first.
        torch.set_num_threads(1)
        manifest = artifact.manifest
        network = SentimentNetwork(len(artifact.vocabulary), len(manifest.labels), manifest.network)
        state = {
            name: torch.from_numpy(tensor.astype(np.float32))
            for name, tensor in artifact.weights.items()
        }
        network.load_state_dict(state)
        self._torch = torch
        self._network = network.eval()

    def logits(self, batch: Sequence[Sequence[int]]) -> Logits:
        """See ``Engine.logits``."""
        torch = self._torch
        ids, lengths = pad(batch)
        with torch.inference_mode():
            logits = self._network(torch.from_numpy(ids), torch.from_numpy(lengths))
        result: Logits = logits.numpy()
        return result


def choose_engine(artifact: Artifact, choice: EngineChoice = "auto") -> EngineName:
    """Return the engine to use; ``auto`` is onnx if the artifact has int8 weights, else torch."""
    if choice == "auto":
        return "torch" if artifact.int8_weights is None else "onnx"
    return choice


def start_engine(artifact: Artifact, choice: EngineChoice = "auto") -> Engine:
    """Return the chosen engine with the artifact's network, after a first run.

    Raises:
        ArtifactError: the engine cannot run the artifact.
        ConfigError: the engine is not installed.
    """
    engine: Engine
    if choose_engine(artifact, choice) == "torch":
        engine = TorchEngine(artifact)
    else:
        engine = OnnxEngine(artifact)
    _check_first_run(engine, artifact)
    return engine


def _check_first_run(engine: Engine, artifact: Artifact) -> None:
    try:
        logits = engine.logits([[UNKNOWN_ID], [UNKNOWN_ID, len(artifact.vocabulary) - 1]])
    except Exception as error:  # of ONNX Runtime or torch, which share no base class
        problem = str(error).splitlines()[0]
        raise ArtifactError(f"the {engine.name} engine cannot run the network: {problem}") from None
    if logits.shape != (2, len(LABELS)) or not np.isfinite(logits).all():
        raise ArtifactError(f"the {engine.name} engine returns values that are not finite")
