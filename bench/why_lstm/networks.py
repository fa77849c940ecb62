"""RNNs and LSTMs that are trained alike: cells, read-outs, settings and training."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from model.config import LABELS, NetworkConfig, RunConfig, load_config
from model.corpora import Example
from model.network import SentimentNetwork
from model.text.encoding import Encoder
from model.training.finetune import finetune
from model.training.optimization import Compute, Sequences
from model.training.rows import Rows as LabelledRows

CPU = torch.device("cpu")
SIZE = 128  # of embedding and hidden state
LSTM, RNN, WIDE = "LSTM", "plain RNN", "wide RNN"
POOLED, LAST_STATE = "pooled", "last state"
READ_OUTS = {POOLED: "all states, pooled", LAST_STATE: "last state, forwards only"}
# The wide one where memory matters most.
FORMS = ((LSTM, POOLED), (RNN, POOLED), (LSTM, LAST_STATE), (RNN, LAST_STATE), (WIDE, LAST_STATE))
# The best on dev of 5e-4, 2e-3 and 4e-3 for the LSTM and of 2e-4, 5e-4 and 2e-3 for the plain RNN,
# both reading out the last state; the wide one takes the plain one's.
RATES = {LSTM: 2e-3, RNN: 5e-4, WIDE: 5e-4}


class VariantNetwork(SentimentNetwork):
    """The shipped network with other cells, another read-out, or both."""

    def __init__(self, vocabulary: int, config: NetworkConfig, cell: str, read_out: str) -> None:
        super().__init__(vocabulary, len(LABELS), config)
        self.read_out = read_out
        size, hidden = config.embedding_size, config.hidden_size
        if cell != LSTM:
            for name in ("forward_lstm", "backward_lstm"):
                self.reader.register_module(name, nn.RNN(size, hidden, batch_first=True))
        if read_out != POOLED:
            del self.attention, self.reader.backward_lstm
            self.output = nn.Linear(hidden, len(LABELS))

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (B, L) of ids (B, T)."""
        if self.read_out == POOLED:
            return super().forward(ids, lengths)
        vectors = self.reader.input_dropout(self.reader.embedding(ids))
        states, _ = self.reader.forward_lstm(vectors)  # (B, T, H)
        last = states[torch.arange(len(ids)), lengths - 1]  # (B, H)
        logits: Tensor = self.output(self.output_dropout(last))
        return logits


Networks = Mapping[tuple[str, str], list[VariantNetwork]]  # a network a seed, by cell and read-out


def hidden_size(cell: str, size: int) -> int:
    """Return a cell's hidden size; the wide RNN's gives it as many weights as the LSTM has."""
    if cell != WIDE:
        return size
    # The positive h of h (h + size + 2) = 4 size (size + size + 2): states, inputs, two biases.
    return round((math.sqrt((size + 2) ** 2 + 16 * size * (2 * size + 2)) - (size + 2)) / 2)


def recurrent_weights(network: SentimentNetwork) -> int:
    """Return the number of weights in the cells, without embedding and output layer."""
    return sum(p.numel() for name, p in network.named_parameters() if "_lstm." in name)


@dataclass(frozen=True)
class Rows:
    """Labelled texts and the ids of the first window of each."""

    examples: list[Example]
    ids: Sequences

    @classmethod
    def encoded(cls, examples: list[Example], encoder: Encoder) -> "Rows":
        """Encode labelled texts."""
        windows = (encoder.encode(example.text).windows[0] for example in examples)
        return cls(examples, [np.array(window, dtype=np.int32) for window in windows])

    @property
    def labels(self) -> NDArray[np.int64]:
        """(texts,)."""
        return np.array([example.label for example in self.examples])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(texts,), in tokens."""
        return np.array([len(ids) for ids in self.ids])


def run_config(size: int = SIZE) -> RunConfig:
    """Return the shipped model's configuration, adapted to training from scratch."""
    config = load_config("zh-general")
    finetuning = {
        "epochs": 3,
        "embedding_learning_rate": config.finetune.learning_rate,  # nothing is pre-trained
        "templates": 0.0,
        "curated": 0.0,
        "choose_by": (),
    }
    return config.model_copy(
        update={
            "network": NetworkConfig(embedding_size=size, hidden_size=size),
            "finetune": config.finetune.model_copy(update=finetuning),
        }
    )


def train_network(
    cell: str,
    read_out: str,
    seed: int,
    config: RunConfig,
    vocabulary: int,
    train: Rows,
    dev: Rows,
    run: Path,
) -> VariantNetwork:
    """Train a network and return the epoch that is best on dev."""
    run.mkdir(parents=True, exist_ok=True)
    size = config.network.embedding_size
    network_config = config.network.model_copy(update={"hidden_size": hidden_size(cell, size)})
    finetuning = config.finetune.model_copy(update={"learning_rate": RATES[cell]})
    torch.manual_seed(seed)
    network = VariantNetwork(vocabulary, network_config, cell, read_out)
    sources = {source.name: source for source in config.data.sources}
    finetune(
        network,
        LabelledRows(train.examples, train.ids, sources),
        LabelledRows(dev.examples, dev.ids, sources),
        config.model_copy(update={"seed": seed, "finetune": finetuning}),
        Compute(CPU),
        run,
    )
    network.load_state_dict(load_file(run / "best.safetensors"))
    return network.eval()


def train_all(
    config: RunConfig, vocabulary: int, train: Rows, dev: Rows, run: Path, seeds: Sequence[int]
) -> Networks:
    """Train every cell with every read-out, one network per seed."""
    return {
        (cell, read_out): [
            train_network(
                cell, read_out, seed, config, vocabulary, train, dev,
                run / f"{cell} {read_out} {seed}".replace(" ", "-"),
            )
            for seed in seeds
        ]
        for cell, read_out in FORMS
    }  # fmt: skip
