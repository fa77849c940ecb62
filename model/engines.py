"""The engines that run the network: ids in, logits out."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from model.artifact import ONNX, Artifact
from model.config import LABELS
from model.errors import ArtifactError, ConfigError
from model.text.vocabulary import PADDING_ID, UNKNOWN_ID

Logits = NDArray[np.float32]
# Sequences that run together; larger batches gain nothing on a CPU.
BATCH_SIZE = 16
# Their ids with padding: what a run needs in memory grows with them.
BATCH_IDS = 512

EngineName = Literal["onnx", "torch"]
EngineChoice = Literal["auto", "onnx", "torch"]


class Engine(Protocol):
    """Runs batches of the network, each in the thread that brings it.

    Several threads may bring one each at a time. That uses more processors better than one batch
    spread over them does, since the steps of an LSTM are short and follow each other.
    """

    name: str

    def logits(self, batch: Sequence[Sequence[int]]) -> Logits:
        """Logits of shape (texts, labels) for non-empty sequences of ids of any lengths."""
        ...


def available_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """How many processors this process may use, by affinity and by the container's limit.

    Libraries that count the host's cores instead start too many threads and are throttled.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # cgroups of the second version, or of the first.
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
    """Right-padded ids of shape (texts, longest) and the lengths of shape (texts,)."""
    lengths = np.fromiter(map(len, batch), dtype=np.int64, count=len(batch))
    ids = np.full((len(batch), int(lengths.max())), PADDING_ID, dtype=np.int64)
    for row, sequence, length in zip(ids, batch, lengths, strict=True):
        row[:length] = np.asarray(sequence)
    return ids, lengths


def group_by_length(lengths: Sequence[int], size: int = BATCH_SIZE) -> list[list[int]]:
    """The indices of the sequences that run together, the longest first.

    At most ``size`` and ``BATCH_IDS``, and none shorter than half the longest beside it: padding
    would then cost more than a run of its own.
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


def session_options() -> Any:
    """ONNX Runtime's options for a session that runs in the thread that asks it.

    The first use imports ONNX Runtime, which takes half a second: only whoever runs it pays.
    """
    # It reports to its maker unless told not to before it is imported.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # Plans of memory for shapes that come again; batches hardly ever have the same.
    options.enable_mem_pattern = False
    return options


class OnnxEngine:
    """The fast engine on a CPU: int8 in ONNX Runtime. It never imports torch.

    Its products are exact on every processor, since the exporter keeps the LSTM's matrices within
    what 16 bits hold. What runs in one batch shares its rounding, so that a text's probabilities
    may differ in the third digit by what it runs beside.
    """

    name = "onnx"

    def __init__(self, artifact: Artifact) -> None:
        """Opens the network in int8.

        Raises:
            ArtifactError: the artifact holds no such network, or ONNX Runtime cannot read it.
        """
        if artifact.onnx is None:
            raise ArtifactError(
                f"the artifact holds no {ONNX}; run sentiment export on it, or set "
                "SENTIMENT_ENGINE to torch"
            )
        options = session_options()
        import onnxruntime  # once its telemetry is off

        try:
            self._session = onnxruntime.InferenceSession(
                artifact.onnx(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors have no base of their own
            problem = str(error).splitlines()[0]
            raise ArtifactError(f"{ONNX} cannot be used: {problem}") from None

    def logits(self, batch: Sequence[Sequence[int]]) -> Logits:
        """See ``Engine.logits``."""
        ids, lengths = pad(batch)
        logits: Logits = self._session.run(None, {"ids": ids, "lengths": lengths})[0]
        return logits


class TorchEngine:
    """The reference engine, in PyTorch."""

    name = "torch"

    def __init__(self, artifact: Artifact) -> None:
        """Builds the network of ``artifact``.

        Raises:
            ArtifactError: the weights cannot be read.
            ConfigError: torch is not installed.
        """
        try:
            import torch  # importing it costs seconds: only whoever runs this engine pays
        except ModuleNotFoundError:
            raise ConfigError(
                "the torch engine needs the package torch; run make .venv/torch.installed, or "
                "pip install 'zh-sentiment[torch]'"
            ) from None

        from model.network import SentimentNetwork

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
    """The engine chosen; ``auto`` is onnx where the artifact holds a network for it, else torch."""
    if choice == "auto":
        return "torch" if artifact.onnx is None else "onnx"
    return choice


def start_engine(artifact: Artifact, choice: EngineChoice = "auto") -> Engine:
    """The engine chosen, with the artifact's network, once it has answered.

    Raises:
        ArtifactError: the artifact cannot be run by it.
        ConfigError: the engine is not installed.
    """
    engine: Engine
    if choose_engine(artifact, choice) == "torch":
        engine = TorchEngine(artifact)
    else:
        engine = OnnxEngine(artifact)
    _try(engine, artifact)
    return engine


def _try(engine: Engine, artifact: Artifact) -> None:
    try:
        logits = engine.logits([[UNKNOWN_ID], [UNKNOWN_ID, len(artifact.vocabulary) - 1]])
    except Exception as error:  # of ONNX Runtime and torch, which share no base
        problem = str(error).splitlines()[0]
        raise ArtifactError(f"the {engine.name} engine cannot run the network: {problem}") from None
    if logits.shape != (2, len(LABELS)) or not np.isfinite(logits).all():
        raise ArtifactError(f"the {engine.name} engine gives no finite answer")
