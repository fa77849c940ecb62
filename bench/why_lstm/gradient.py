"""How far back the gradient of the last state reaches."""

from collections.abc import Mapping
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.why_lstm.networks import CPU, LAST_STATE, LSTM, RNN, Networks, Rows, VariantNetwork
from model.config import RunConfig
from model.network import SentimentNetwork
from model.progress import Progress
from model.training.optimization import pad_tensors

TRAINED, UNTRAINED = "trained", "untrained"
DISTANCES = (1, 5, 10, 20, 50, 99)
GRADIENT_WORDS = 100
GRADIENT_TEXTS = 64
DIRECTIONS = 16


def gradient_norms(
    network: SentimentNetwork, ids: Tensor, directions: int = DIRECTIONS
) -> NDArray[np.float64]:
    """Return how much the last forward state depends on each word, relative to the last word.

    The Frobenius norm of d state / d embedding, estimated from random directions of the state; in
    float64, since float32 underflows below 1e-38.

    Args:
        network: the network whose forward cells are followed.
        ids: (B, T), texts of the same length.
        directions: number of random directions; more give a better estimate.

    Returns:
        (B, T) shares by distance: [:, 0] is the last word, which is 1; [:, T - 1] is the first.
    """
    cells = deepcopy(network.reader.forward_lstm).double()
    vectors = network.reader.embedding(ids).detach().double().requires_grad_()  # (B, T, E)
    states, _ = cells(vectors)  # (B, T, H)
    generator = torch.Generator().manual_seed(0)
    squares = torch.zeros(ids.shape, dtype=torch.float64)
    for _ in range(directions):
        direction = torch.randn(states.size(2), generator=generator, dtype=torch.float64)
        (found,) = torch.autograd.grad(
            (states[:, -1] @ direction).sum(), vectors, retain_graph=True
        )
        squares += found.square().sum(dim=2)
    norms: NDArray[np.float64] = squares.sqrt().flip(1).numpy()
    return norms / norms[:, :1]


def gradient_shares(
    networks: Networks, shipped: SentimentNetwork, vocabulary: int, config: RunConfig, rows: Rows
) -> dict[str, NDArray[np.float64]]:
    """Return the gradient shares by network: (texts of all seeds, distances)."""
    long = [ids[:GRADIENT_WORDS] for ids in rows.ids if len(ids) >= GRADIENT_WORDS]
    ids, _ = pad_tensors(long[:GRADIENT_TEXTS], CPU)
    found = {}
    with Progress("gradients", 5) as progress:
        for cell in (RNN, LSTM):
            of_seeds = networks[cell, LAST_STATE]
            torch.manual_seed(0)
            new = [VariantNetwork(vocabulary, config.network, cell, LAST_STATE) for _ in of_seeds]
            for name, some in ((f"{cell}, {UNTRAINED}", new), (f"{cell}, {TRAINED}", of_seeds)):
                found[name] = np.concatenate([gradient_norms(n, ids) for n in some])
                progress.step()
        found["the LSTM that ships"] = gradient_norms(shipped, ids)
        progress.step()
    return found


def gradient_report(found: Mapping[str, NDArray[np.float64]]) -> str:
    """Return a table of the median share at some distances."""
    count = min(len(shares) for shares in found.values())
    words = len(next(iter(found.values()))[0])
    lines = [
        f"The middle one of {count} test reviews, their first {words} words, for every seed.",
        "",
        f"| words in between | {' | '.join(map(str, DISTANCES))} |",
        f"|---|{'---:|' * len(DISTANCES)}",
    ]
    for name, shares in found.items():
        middle = np.median(shares, axis=0)
        shown = " | ".join(f"{middle[distance]:.2g}" for distance in DISTANCES)
        lines.append(f"| {name} | {shown} |")
    return "\n".join(lines)
