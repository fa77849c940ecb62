"""The engines that run the network: ids in, logits out."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.artifact import Artifact
from model.errors import ArtifactError
from model.vocab import PADDING_ID

Logits = NDArray[np.float32]


class Engine(Protocol):
    """Runs one batch of the network."""

    name: str

    def logits(self, batch: Sequence[Sequence[int]]) -> Logits:
        """Logits of shape (texts, labels) for non-empty sequences of ids of any lengths."""
        ...


def available_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """How many processors this process may use, by affinity and by the container's limit.

    Libraries that count the host's cores instead start too many threads and are throttled.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return cpus
    if quota == "max":
        return cpus
    return max(1, min(cpus, int(quota) // int(period)))


def pad(
    batch: Sequence[Sequence[int]] | Sequence[NDArray[np.int32]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Right-padded ids of shape (texts, longest) and the lengths of shape (texts,)."""
    lengths = np.fromiter(map(len, batch), dtype=np.int64, count=len(batch))
    ids = np.full((len(batch), int(lengths.max())), PADDING_ID, dtype=np.int64)
    for row, sequence, length in zip(ids, batch, lengths, strict=True):
        row[:length] = np.asarray(sequence)
    return ids, lengths


class TorchEngine:
    """The reference engine, in PyTorch."""

    name = "torch"

    def __init__(self, artifact: Artifact, threads: int | None = None) -> None:
        """Builds the network of ``artifact``; ``threads`` defaults to the processors available.

        Raises:
            ArtifactError: the weights do not have the names and shapes that the manifest implies.
        """
        import torch  # importing it costs seconds: only whoever runs this engine pays

        from model.network import SentimentNetwork

        torch.set_num_threads(threads or available_cpus())
        manifest = artifact.manifest
        network = SentimentNetwork(len(artifact.vocabulary), len(manifest.labels), manifest.network)
        state = {
            name: torch.from_numpy(tensor.astype(np.float32))
            for name, tensor in artifact.weights.items()
        }
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            problem = str(error).splitlines()[1].strip()
            raise ArtifactError(f"the weights do not fit the manifest: {problem}") from None
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
