"""What the gates of an LSTM are good for, measured: docs/why-lstm.md.

    SENTIMENT_DATA=... .venv/bin/python -m bench.why_lstm [--write]

Plain RNNs and LSTMs learn the same rows under the same settings and read the test splits; the
gradient is followed back through them; and the gates of the model that ships are read word by word.
Settings were chosen by `--dev`, which reads the dev splits instead.
"""

import argparse
import logging
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from bench.document import FIGURES, machine, replace_block
from model import artifact as artifacts
from model.artifact import Weights
from model.config import LABELS, NetworkConfig, RunConfig, load_config
from model.corpora import Example, load_splits, load_test
from model.engines import group_by_length
from model.network import SentimentNetwork, reverse_inside_length
from model.progress import Progress
from model.scores import accuracy_and_macro_f1, predicted_labels
from model.text.encoding import Encoder
from model.text.vocabulary import PADDING, PADDING_ID, UNKNOWN, Vocabulary
from model.training.finetune import finetune, logits_of
from model.training.optimization import Sequences, pad_tensors
from service.settings import SHIPPED_MODEL

PAGE = FIGURES.parent / "why-lstm.md"
CPU = torch.device("cpu")

ROWS = 40_000  # of the train rows
SEEDS = (1, 2, 3)
SIZE = 128  # of embedding and hidden state
BOUNDS = (0, 8, 16, 32, 64, 128, 256)  # of the buckets of lengths, in words
FEWEST_TEXTS = 50  # that a bucket stands for

LSTM, RNN, WIDE = "LSTM", "plain RNN", "wide RNN"
POOLED, LAST_STATE = "pooled", "last state"
READ_OUTS = {POOLED: "all states, pooled", LAST_STATE: "last state, forwards only"}
# The wide one where memory matters most.
FORMS = ((LSTM, POOLED), (RNN, POOLED), (LSTM, LAST_STATE), (RNN, LAST_STATE), (WIDE, LAST_STATE))
# The best on dev of 5e-4, 2e-3 and 4e-3 for the LSTM and of 2e-4, 5e-4 and 2e-3 for the plain RNN,
# both reading out the last state; the wide one takes the plain one's.
RATES = {LSTM: 2e-3, RNN: 5e-4, WIDE: 5e-4}
COLOURS = {LSTM: "#c0392b", RNN: "#2c3e50", WIDE: "#95a5a6"}


# The networks


class Reading(SentimentNetwork):
    """The network of ``model.network`` with other cells, or another read-out, or both."""

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
        """As the shipped one's: logits (B, L) of ids (B, T)."""
        if self.read_out == POOLED:
            return super().forward(ids, lengths)
        vectors = self.reader.input_dropout(self.reader.embedding(ids))
        states, _ = self.reader.forward_lstm(vectors)  # (B, T, H)
        last = states[torch.arange(len(ids)), lengths - 1]  # (B, H)
        logits: Tensor = self.output(self.output_dropout(last))
        return logits


Networks = Mapping[tuple[str, str], list[Reading]]  # a network a seed, by cell and read-out


def hidden_size(cell: str, size: int) -> int:
    """That of a cell: the wide RNN's gives it as many weights as the LSTM has."""
    if cell != WIDE:
        return size
    # The positive h of h (h + size + 2) = 4 size (size + size + 2): states, inputs, two biases.
    return round((math.sqrt((size + 2) ** 2 + 16 * size * (2 * size + 2)) - (size + 2)) / 2)


def recurrent_weights(network: SentimentNetwork) -> int:
    """Those of the cells: not the embedding's, not the last layer's."""
    return sum(p.numel() for name, p in network.named_parameters() if "_lstm." in name)


@dataclass(frozen=True)
class Rows:
    """Labelled texts as the network reads them: the first window of each."""

    examples: list[Example]
    ids: Sequences

    @classmethod
    def encoded(cls, examples: list[Example], encoder: Encoder) -> "Rows":
        """By the encoder that the shipped model uses."""
        windows = (encoder.encode(example.text).windows[0] for example in examples)
        return cls(examples, [np.array(window, dtype=np.int32) for window in windows])

    @property
    def labels(self) -> NDArray[np.int64]:
        """(texts,)."""
        return np.array([example.label for example in self.examples])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(texts,), in words."""
        return np.array([len(ids) for ids in self.ids])


def settings(size: int = SIZE) -> RunConfig:
    """The shipped model's sets and splits; sizes and rates for a start from nothing."""
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


def learnt(
    cell: str,
    read_out: str,
    seed: int,
    config: RunConfig,
    vocabulary: int,
    train: Rows,
    dev: Rows,
    run: Path,
) -> Reading:
    """A network after training: that of the epoch best on dev."""
    run.mkdir(parents=True, exist_ok=True)
    size = config.network.embedding_size
    network_config = config.network.model_copy(update={"hidden_size": hidden_size(cell, size)})
    finetuning = config.finetune.model_copy(update={"learning_rate": RATES[cell]})
    torch.manual_seed(seed)
    network = Reading(vocabulary, network_config, cell, read_out)
    finetune(
        network,
        train.examples,
        dev.examples,
        train.ids,
        dev.ids,
        {source.name: source for source in config.data.sources},
        config.model_copy(update={"seed": seed, "finetune": finetuning}),
        CPU,
        torch.autocast("cpu", enabled=False),
        run,
    )
    network.load_state_dict(load_file(run / "best.safetensors"))
    return network.eval()


# Accuracy by length


@dataclass(frozen=True)
class Answers:
    """What every network answered to the rows of one kind of set.

    ``chosen`` holds (seeds, texts) by cell and read-out.
    """

    rows: Rows
    chosen: Mapping[tuple[str, str], NDArray[np.int64]]

    def buckets(self) -> list[tuple[str, NDArray[np.bool_]]]:
        """The names of the buckets with enough texts, and which texts are in each."""
        lengths = self.rows.lengths
        inside = (
            (low, high, (lengths > low) & (lengths <= high)) for low, high in pairwise(BOUNDS)
        )
        return [
            (f"{low + 1}–{high}", which)
            for low, high, which in inside
            if which.sum() >= FEWEST_TEXTS
        ]

    def scores(
        self, form: tuple[str, str], metric: str, inside: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """(seeds,) accuracy or macro-F1, in points."""
        which = np.ones(len(self.rows.ids), dtype=bool) if inside is None else inside
        labels = self.rows.labels[which].tolist()
        return np.array(
            [100 * accuracy_and_macro_f1(labels, c[which])[metric] for c in self.chosen[form]]
        )

    def difference(
        self, read_out: str, cell: str, inside: NDArray[np.bool_]
    ) -> tuple[float, float]:
        """Accuracy of the LSTM less that of another cell, in points, and two standard errors.

        Those of the texts, each compared with itself; the seeds are averaged before.
        """
        right = [
            (self.chosen[name, read_out][:, inside] == self.rows.labels[inside]).mean(axis=0)
            for name in (LSTM, cell)
        ]
        apart = 100 * (right[0] - right[1])
        return float(apart.mean()), float(2 * apart.std(ddof=1) / len(apart) ** 0.5)


METRICS = {"reviews": "accuracy", "three classes": "macro_f1"}


def setting_report(
    config: RunConfig, networks: Networks, train: Rows, kinds: Mapping[str, Rows]
) -> str:
    """What was trained, on what, and what the figures are of."""
    finetuning = config.finetune
    rates = ", ".join(f"{rate:g} ({cell})" for cell, rate in RATES.items())
    read = " and ".join(f"{len(rows.ids):,} ({kind})" for kind, rows in kinds.items())
    return "\n".join(
        [
            f"- {len(train.ids):,} rows, drawn once from the train split of the shipped model; its "
            "vocabulary and way from text to ids.",
            f"- Embeddings of {config.network.embedding_size} features that start from nothing; "
            f"{finetuning.epochs} epochs, of which the best on dev is kept; batches of "
            f"{finetuning.batch_size}; the shipped model's dropout, optimizers, loss and schedule.",
            f"- Learning rate: {rates}. That of LSTM and plain RNN is the best of three on dev "
            "with the last state; the wide RNN takes the plain one's.",
            f"- {len(next(iter(networks.values())))} seeds each; test texts: {read}.",
            f"- {machine()}, one thread.",
        ]
    )


def accuracy_report(answers: Mapping[str, Answers], networks: Networks) -> str:
    """Two tables: every network's scores, and how far apart they are by length."""
    reviews, three = answers["reviews"], answers["three classes"]
    lines = [
        "| read-out | cell | hidden | weights of the cells "
        f"| accuracy on {len(reviews.rows.ids):,} reviews "
        f"| macro-F1 on {len(three.rows.ids):,} texts of three classes |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for form in FORMS:
        cell, read_out = form
        one = networks[form][0]
        cells = [
            READ_OUTS[read_out],
            cell,
            str(one.reader.forward_lstm.hidden_size),
            f"{recurrent_weights(one):,}",
            *(spread(found.scores(form, METRICS[kind])) for kind, found in answers.items()),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for kind, found in answers.items():
        buckets = found.buckets()
        lines += [
            "",
            f"| accuracy of the LSTM less that of an RNN; {kind}, by words "
            f"| {' | '.join(name for name, _ in buckets)} |",
            f"|---|{'---:|' * len(buckets)}",
            f"| texts | {' | '.join(f'{inside.sum():,}' for _, inside in buckets)} |",
        ]
        for cell, read_out in (form for form in FORMS if form[0] != LSTM):
            apart = (found.difference(read_out, cell, inside) for _, inside in buckets)
            shown = " | ".join(f"{mean:+.1f} ± {error:.1f}" for mean, error in apart)
            lines.append(f"| {READ_OUTS[read_out]}; {cell} | {shown} |")
    return "\n".join(lines)


def spread(values: NDArray[np.float64]) -> str:
    """Mean, and the lowest and highest seed."""
    return f"{values.mean():.1f} ({values.min():.1f} to {values.max():.1f})"


def draw_accuracy(answers: Mapping[str, Answers], path: Path) -> None:
    """A row of panels a kind of set, a panel a read-out, a line a cell."""
    picture = _picture(10, 6.4)
    panels = picture.subplots(len(answers), len(READ_OUTS), sharey="row", squeeze=False)
    for row, (kind, found) in zip(panels, answers.items(), strict=True):
        buckets = found.buckets()
        for axes, read_out in zip(row, READ_OUTS, strict=True):
            for cell in (cell for cell, form in FORMS if form == read_out):
                colour = COLOURS[cell]
                points = np.array(
                    [found.scores((cell, read_out), METRICS[kind], which) for _, which in buckets]
                )
                axes.plot(range(len(buckets)), points.mean(axis=1), "o-", color=colour, label=cell)
                axes.fill_between(
                    range(len(buckets)), points.min(1), points.max(1), color=colour, alpha=0.2
                )
            axes.set_xticks(range(len(buckets)), [name for name, _ in buckets])
            axes.set(title=f"{kind}:\n{READ_OUTS[read_out]}", xlabel="words of the text")
            axes.grid(axis="y", alpha=0.3)
            _bare(axes)
        row[0].set_ylabel({"accuracy": "accuracy, %", "macro_f1": "macro-F1, %"}[METRICS[kind]])
    handles, labels = panels[0, -1].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside lower center", ncols=3)
    _save(picture, path)


# The gradient

TRAINED, UNTRAINED = "trained", "untrained"
DISTANCES = (1, 5, 10, 20, 50, 99)
GRADIENT_WORDS = 100
GRADIENT_TEXTS = 64
DIRECTIONS = 16


def gradient_norms(
    network: SentimentNetwork, ids: Tensor, directions: int = DIRECTIONS
) -> NDArray[np.float64]:
    """How much the last forward state depends on each word, beside the last word.

    The Frobenius norm of d state / d embedding, from random directions of the state; in float64,
    since float32 ends at 1e-38.

    Args:
        network: whose forward cells are followed.
        ids: (B, T) texts of one length.
        directions: more are nearer to the norm.

    Returns:
        (B, T) shares by distance: [:, 0] is the last word and 1, [:, T - 1] the first word.
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


def gradient_report(found: Mapping[str, NDArray[np.float64]]) -> str:
    """The middle text's share at some distances."""
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


def draw_gradient(found: Mapping[str, NDArray[np.float64]], path: Path) -> None:
    """The middle text's share against distance, and where 8 in 10 texts lie."""
    picture = _picture(10, 4.4)
    panels = picture.subplots(1, 2)
    for axes, title in zip(panels, (UNTRAINED, TRAINED), strict=True):
        for name, shares in found.items():
            if (UNTRAINED in name) != (title == UNTRAINED):
                continue
            colour = next((c for cell, c in COLOURS.items() if name.startswith(cell)), "#e67e22")
            middle = np.median(shares, axis=0)
            axes.plot(middle, color=colour, label=name)
            low, high = np.quantile(shares, (0.1, 0.9), axis=0)
            axes.fill_between(range(len(middle)), low, high, color=colour, alpha=0.12, linewidth=0)
        axes.set_yscale("log")
        axes.set(title=f"{title} (mind the scale)", xlabel="words between it and the end")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower left", frameon=False)
        _bare(axes)
    panels[0].set_ylabel("gradient of the last state at a word,\nbeside that at the last word")
    _save(picture, path)


# The gates of the model that ships

GATES = ("input", "forget", "output", "written")
NEGATIONS = (
    *("不", "没", "没有", "无", "别", "并非", "未", "非", "从未", "毫无", "并不"),
    *("不是", "不要", "不会", "不能", "不用", "不太", "不够"),
)
FILLERS = tuple("的了是我你他这那就也有地得着过吧啊呢,.")
SENTIMENT_WORDS = 40  # of either side
MUTILATED = "ncov_weibo"  # its stopwords and punctuation were removed upstream
LONG = 0.8  # mean forget gate of a feature that remembers for long
AROUND = range(-4, 6)


def gates(weights: Weights, direction: str, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The gates at every word, and the states, which are those of ``nn.LSTM``.

    Args:
        weights: an artifact's.
        direction: ``forward`` or ``backward``.
        ids: (B, T).
        lengths: (B,).

    Returns:
        (B, T, 4, H) input, forget and output gate and |input gate times candidate|, which is what
        is written into the memory; and (B, T, H) states.
    """
    w_x, w_h, b_x, b_h = (
        torch.from_numpy(weights[f"reader.{direction}_lstm.{name}_l0"]).float()
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    vectors = torch.from_numpy(weights[artifacts.EMBEDDING])[ids].float()  # (B, T, E)
    if direction == "backward":
        vectors = reverse_inside_length(vectors, lengths)
    state = memory = torch.zeros(len(ids), w_h.size(1))  # (B, H)
    activations, states = [], []
    for step in (vectors @ w_x.T + b_x + b_h).unbind(dim=1):  # (B, 4H)
        enter, keep, candidate, show = (step + state @ w_h.T).chunk(4, dim=1)
        enter, keep, show = enter.sigmoid(), keep.sigmoid(), show.sigmoid()
        written = enter * candidate.tanh()
        memory = keep * memory + written
        state = show * memory.tanh()
        activations.append(torch.stack([enter, keep, show, written.abs()], dim=1))
        states.append(state)
    both = torch.stack(activations, dim=1), torch.stack(states, dim=1)
    if direction == "backward":
        return reverse_inside_length(both[0], lengths), reverse_inside_length(both[1], lengths)
    return both


def sentiment_words(
    rows: Rows, vocabulary: Vocabulary, left_out: Sequence[str], count: int = SENTIMENT_WORDS
) -> tuple[list[str], list[str]]:
    """The words that go most with positive rows, and with negative ones.

    By the Cochran-Mantel-Haenszel statistic with the sets as strata, so that a word gains nothing
    by standing in a set that is mostly praise.
    """
    labels = rows.labels
    by_set: dict[str, list[int]] = {}
    for index, example in enumerate(rows.examples):
        if LABELS[example.label] != "neutral":
            by_set.setdefault(example.source, []).append(index)
    beyond, variance = np.zeros(len(vocabulary)), np.full(len(vocabulary), 1e-9)
    for indices in by_set.values():
        with_word, positive = np.zeros(len(vocabulary)), np.zeros(len(vocabulary))
        for index in indices:
            in_text = np.unique(rows.ids[index])
            with_word[in_text] += 1
            positive[in_text] += labels[index] == LABELS.index("positive")
        total = len(indices)
        share = float((labels[indices] == LABELS.index("positive")).mean())
        beyond += positive - with_word * share
        variance += with_word * share * (1 - share) * (total - with_word) / max(total - 1, 1)
    order = np.argsort(beyond / np.sqrt(variance)).tolist()
    ranked = [vocabulary.words[index] for index in order]
    words = [word for word in ranked if word not in left_out]
    return words[::-1][:count], words[:count]


def counted(rows: Rows, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """(V,) how often each word of the vocabulary stands in rows."""
    return np.bincount(np.concatenate(rows.ids), minlength=len(vocabulary))


def as_frequent(
    words: Sequence[str], counts: NDArray[np.int64], vocabulary: Vocabulary, left_out: Sequence[str]
) -> list[str]:
    """For each word the nearest one in frequency that is none of these nor left out."""
    taken = {*words, *left_out, PADDING, UNKNOWN}
    order = [vocabulary.words[index] for index in np.argsort(-counts, kind="stable").tolist()]
    places = {word: place for place, word in enumerate(order)}
    found = []
    for word in words:
        free = (other for other in order[places[word] :] if other not in taken)
        found.append(next(free))
        taken.add(found[-1])
    return found


@dataclass(frozen=True)
class Read:
    """A direction's gates at every word of all texts, one behind the other; (words, 4)."""

    ids: NDArray[np.int32]
    texts: NDArray[np.int64]  # the number of the text that each stands in
    values: NDArray[np.float32]

    forget: NDArray[np.float32]  # (H,) mean over the words, by feature

    @classmethod
    def all(cls, weights: Weights, texts: Sequences, direction: str) -> "Read":
        """In one direction; the values are means over the features."""
        of_text = [np.empty(0, dtype=np.float32)] * len(texts)
        forget = np.zeros(1, dtype=np.float32)
        with Progress(f"gates, {direction}s", len(texts)) as progress, torch.inference_mode():
            for group in group_by_length([len(ids) for ids in texts]):
                padded, lengths = pad_tensors([texts[index] for index in group], CPU)
                found = gates(weights, direction, padded, lengths)[0].numpy()
                for index, row, length in zip(group, found, lengths.tolist(), strict=True):
                    of_text[index] = row[:length].mean(axis=2)
                    forget = forget + row[:length, GATES.index("forget")].sum(axis=0)
                progress.step(len(group))
        ids = np.concatenate(texts)
        numbers = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
        return cls(ids, numbers, np.concatenate(of_text), (forget / len(ids)).astype(np.float32))

    def around(self, word: int, offset: int) -> NDArray[np.float32]:
        """(occurrences, 4) at the words that stand ``offset`` behind a word in the same text."""
        places = np.flatnonzero(self.ids == word)
        there = places + offset
        inside = (there >= 0) & (there < len(self.ids))
        places, there = places[inside], there[inside]
        found: NDArray[np.float32] = self.values[there[self.texts[there] == self.texts[places]]]
        return found


def word_lists(train: Rows, vocabulary: Vocabulary) -> dict[str, Sequence[str]]:
    """The words of each class."""
    listed = [*NEGATIONS, *FILLERS]
    praise, blame = sentiment_words(train, vocabulary, listed)
    sentiment = praise + blame
    counts = counted(train, vocabulary)
    return {
        "sentiment": sentiment,
        "others as frequent": as_frequent(sentiment, counts, vocabulary, listed),
        "negation": NEGATIONS,
        "filler": FILLERS,
    }


def word_classes(
    ids: NDArray[np.int32], vocabulary: Vocabulary, words: Mapping[str, Sequence[str]]
) -> dict[str, NDArray[np.bool_]]:
    """Which of the words read are of each class, of none, and all."""
    found = {
        name: np.isin(ids, [vocabulary.get(word) or PADDING_ID for word in listed])
        for name, listed in words.items()
    }
    return found | {"any other": ~np.any(list(found.values()), axis=0), "all": ids != PADDING_ID}


def word_report(classes: Mapping[str, Sequence[str]], vocabulary: Vocabulary) -> str:
    """What the classes hold."""
    return "\n".join(
        f"- {name}: {' '.join(f'`{word}`' for word in words if word in vocabulary)}"
        for name, words in classes.items()
    )


def gate_report(classes: Mapping[str, NDArray[np.bool_]], read: Mapping[str, Read]) -> str:
    """Mean and spread of a gate in each class, and how far that is from all words."""
    lines = [
        f"| words | occurrences | reading | {' | '.join(GATES)} |",
        f"|---|---:|---|{'---:|' * len(GATES)}",
    ]
    for name, inside in classes.items():
        for direction, found in read.items():
            values = found.values[inside]
            apart = (values.mean(axis=0) - found.values.mean(axis=0)) / found.values.std(axis=0)
            cells = [
                f"{mean:.3f} ± {deviation:.3f}" + ("" if inside.all() else f" ({distance:+.2f})")
                for mean, deviation, distance in zip(
                    values.mean(axis=0), values.std(axis=0), apart, strict=True
                )
            ]
            lines.append(f"| {name} | {inside.sum():,} | {direction}s | {' | '.join(cells)} |")
    return "\n".join(lines)


def rarity_report(read: Mapping[str, Read], counts: NDArray[np.int64]) -> str:
    """How far the input gate follows the rarity of a word."""
    found = [
        np.corrcoef(-np.log1p(counts[r.ids]), r.values[:, GATES.index("input")])[0, 1]
        for r in read.values()
    ]
    shown = " and ".join(f"{c:+.2f} {name}s" for c, name in zip(found, read, strict=True))
    return f"Correlation of the input gate with the rarity of the word (-log frequency): {shown}."


def memory_report(read: Mapping[str, Read]) -> str:
    """How unlike each other the features are in what they keep."""
    found = [
        f"{np.median(r.forget):.2f} in the middle feature and above {LONG:g} in "
        f"{(r.forget > LONG).sum()} of {len(r.forget)} {name}s"
        for name, r in read.items()
    ]
    return f"Mean forget gate of a feature: {', '.join(found)}."


def draw_gates(
    classes: Mapping[str, NDArray[np.bool_]], read: Mapping[str, Read], path: Path
) -> None:
    """A panel a gate, a row a class: mean, and where 8 in 10 occurrences lie."""
    picture = _picture(10, 4)
    panels = picture.subplots(1, len(GATES), sharey=True)
    names = list(classes)
    for gate, axes in enumerate(panels):
        for (direction, found), colour, shift in zip(
            read.items(), ("#c0392b", "#2980b9"), (0.15, -0.15), strict=True
        ):
            for place, name in enumerate(reversed(names)):
                values = found.values[classes[name], gate]
                low, high = np.quantile(values, (0.1, 0.9))
                axes.plot([low, high], [place + shift] * 2, color=colour, alpha=0.35, linewidth=5)
                axes.plot(
                    values.mean(), place + shift, "o", color=colour,
                    label=f"read {direction}s" if place == 0 else None,
                )  # fmt: skip
            axes.axvline(found.values[:, gate].mean(), color=colour, linestyle=":", linewidth=1)
        written = GATES[gate] == "written"
        axes.set(
            title="what is written" if written else f"{GATES[gate]} gate",
            xlabel="|input gate × candidate|" if written else "mean over the features",
        )
        axes.set_yticks(range(len(names)), names[::-1])
        _bare(axes)
    handles, labels = panels[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside lower center", ncols=2)
    _save(picture, path)


# In English, since a viewer of the pictures may have no Chinese font.
MARKS = {
    "但是": ("'but' (danshi)", "#c0392b"),
    "而且": ("'and also' (erqie)", "#7f8c8d"),
    ",": ("a comma", "#2980b9"),
}


def forget_around(found: Read, direction: str, word: int, place: int) -> NDArray[np.float32]:
    """(occurrences,) forget gate at the words read ``place`` words after a word."""
    offset = place if direction == "forward" else -place
    values: NDArray[np.float32] = found.around(word, offset)[:, GATES.index("forget")]
    return values


def contrast_report(read: Mapping[str, Read], vocabulary: Vocabulary) -> str:
    """The forget gate at words and at those read next to them."""
    lines = [
        "| forget gate | reading | occurrences | at the word read before | at it "
        "| at the word read after |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for word, (name, _) in MARKS.items():
        for direction, found in read.items():
            values = [
                forget_around(found, direction, _id(vocabulary, word), place)
                for place in (-1, 0, 1)
            ]
            cells = [f"{v.mean():.3f} ± {v.std():.3f}" for v in values]
            lines.append(f"| {name} | {direction}s | {len(values[1]):,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw_contrast(read: Mapping[str, Read], vocabulary: Vocabulary, path: Path) -> None:
    """The forget gate around 但是, and around words that turn nothing."""
    picture = _picture(10, 4.2)
    panels = picture.subplots(1, len(read), sharey=True)
    for axes, (direction, found) in zip(panels, read.items(), strict=True):
        for word, (name, colour) in MARKS.items():
            values = [
                forget_around(found, direction, _id(vocabulary, word), place) for place in AROUND
            ]
            means = [v.mean() for v in values]
            errors = [2 * v.std() / math.sqrt(len(v)) for v in values]
            axes.errorbar(AROUND, means, errors, fmt="o-", color=colour, capsize=3, label=name)
        mean = found.values[:, GATES.index("forget")].mean()
        axes.axhline(mean, color="black", linestyle=":", linewidth=1, label="mean of all words")
        axes.set(title=f"Forget gate, read {direction}s", xlabel="words read since")
        axes.set_xticks(AROUND)
        axes.axvline(0, color="black", alpha=0.1, linewidth=8)
        _bare(axes)
    panels[0].set_ylabel("mean over the features (± 2 standard errors)")
    handles, labels = panels[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside lower center", ncols=4)
    _save(picture, path)


def _id(vocabulary: Vocabulary, word: str) -> int:
    found = vocabulary.get(word)
    assert found is not None
    return found


# Pictures


def _picture(width: float, height: float) -> Figure:
    # Names that do not change from run to run, so that a new picture differs by its points alone.
    mpl.rcParams["svg.hashsalt"] = "why-lstm"
    picture = Figure(figsize=(width, height), layout="constrained")
    picture.set_facecolor("white")
    return picture


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _save(picture: Figure, path: Path) -> None:
    picture.savefig(path, metadata={"Date": None})


# All of it


def evaluation_rows(
    config: RunConfig, data: Path, dev: list[Example] | None, encoder: Encoder
) -> dict[str, Rows]:
    """Every row of the test splits, or of dev, by whether its set knows a neutral label."""
    kinds: dict[str, list[Example]] = {kind: [] for kind in METRICS}
    for source in config.data.sources:
        kind = "reviews" if source.two_classes else "three classes"
        kinds[kind] += (
            load_test(source, data)
            if dev is None
            else [example for example in dev if example.source == source.name]
        )
    return {kind: Rows.encoded(examples, encoder) for kind, examples in kinds.items()}


def learn_all(
    config: RunConfig, vocabulary: int, train: Rows, dev: Rows, run: Path, seeds: Sequence[int]
) -> Networks:
    """Every cell with every read-out, a network a seed."""
    return {
        (cell, read_out): [
            learnt(
                cell, read_out, seed, config, vocabulary, train, dev,
                run / f"{cell} {read_out} {seed}".replace(" ", "-"),
            )
            for seed in seeds
        ]
        for cell, read_out in FORMS
    }  # fmt: skip


def answer(networks: Networks, kinds: Mapping[str, Rows]) -> dict[str, Answers]:
    """What all networks answer to all kinds of rows."""
    return {
        kind: Answers(
            rows,
            {
                form: np.stack(
                    [
                        predicted_labels(logits_of(n, rows.ids, CPU), kind == "reviews")
                        for n in of_seeds
                    ]
                )
                for form, of_seeds in networks.items()
            },
        )
        for kind, rows in kinds.items()
    }


def follow_gradient(
    networks: Networks, shipped: SentimentNetwork, vocabulary: int, config: RunConfig, rows: Rows
) -> dict[str, NDArray[np.float64]]:
    """The shares of the gradient by network, (texts of all seeds, distances)."""
    long = [ids[:GRADIENT_WORDS] for ids in rows.ids if len(ids) >= GRADIENT_WORDS]
    ids, _ = pad_tensors(long[:GRADIENT_TEXTS], CPU)
    found = {}
    with Progress("gradients", 5) as progress:
        for cell in (RNN, LSTM):
            of_seeds = networks[cell, LAST_STATE]
            torch.manual_seed(0)
            new = [Reading(vocabulary, config.network, cell, LAST_STATE) for _ in of_seeds]
            for name, some in ((f"{cell}, {UNTRAINED}", new), (f"{cell}, {TRAINED}", of_seeds)):
                found[name] = np.concatenate([gradient_norms(n, ids) for n in some])
                progress.step()
        found["the LSTM that ships"] = gradient_norms(shipped, ids)
        progress.step()
    return found


def main() -> None:
    """Trains, measures, and prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.why_lstm", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"put them into docs/{PAGE.name}")
    parser.add_argument("--dev", action="store_true", help="read dev instead of the test splits")
    parser.add_argument("--run", type=Path, help="keep networks here, and take those found here")
    options = parser.parse_args()
    if options.write and options.dev:
        parser.error("the page reports the test splits")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    data = Path(os.environ["SENTIMENT_DATA"])
    shipped = artifacts.load(SHIPPED_MODEL)
    encoder, weights = shipped.encoder(), shipped.weights
    vocabulary = encoder.vocabulary
    config = settings()
    splits = load_splits(config.data, data)
    chosen = np.random.default_rng(0).permutation(len(splits.train))[:ROWS]
    train = Rows.encoded([splits.train[index] for index in chosen], encoder)
    dev = Rows.encoded(splits.dev, encoder)
    kinds = evaluation_rows(config, data, splits.dev if options.dev else None, encoder)

    with tempfile.TemporaryDirectory() as folder:
        run = options.run or Path(folder)
        networks = learn_all(config, len(vocabulary), train, dev, run, SEEDS)
    answers = answer(networks, kinds)

    network = SentimentNetwork(len(vocabulary), len(LABELS), shipped.manifest.network)
    network.load_state_dict({n: torch.from_numpy(w).float() for n, w in weights.items()})
    gradient = follow_gradient(networks, network, len(vocabulary), config, kinds["reviews"])

    texts = [
        ids
        for rows in kinds.values()
        for example, ids in zip(rows.examples, rows.ids, strict=True)
        if example.source != MUTILATED
    ]
    read = {name: Read.all(weights, texts, name) for name in ("forward", "backward")}
    words = word_lists(train, vocabulary)
    classes = word_classes(read["forward"].ids, vocabulary, words)
    counts = counted(train, vocabulary)

    blocks = {
        "setting": setting_report(config, networks, train, kinds),
        "accuracy": accuracy_report(answers, networks),
        "gradient": gradient_report(gradient),
        "words": word_report(words, vocabulary),
        "gates": f"{gate_report(classes, read)}\n\n{rarity_report(read, counts)} "
        f"{memory_report(read)}",
        "contrast": contrast_report(read, vocabulary),
    }
    print("\n\n".join(blocks.values()))
    pictures: dict[str, tuple[str, Callable[[Path], None]]] = {
        "accuracy": ("Accuracy by length", lambda path: draw_accuracy(answers, path)),
        "gradient": ("Gradient by distance", lambda path: draw_gradient(gradient, path)),
        "gates": ("Gates by kind of word", lambda path: draw_gates(classes, read, path)),
        "contrast": ("Forget gate by place", lambda path: draw_contrast(read, vocabulary, path)),
    }
    for name, (title, draw) in pictures.items():
        figure = f"why-lstm-{name}.svg"
        draw((FIGURES if options.write else run) / figure)
        blocks[name] += f"\n\n![{title}](figures/{figure})"
    if options.write:
        for name, content in blocks.items():
            replace_block(name, content, PAGE)


if __name__ == "__main__":
    main()
