"""The gates of the shipped model, by kind of word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.why_lstm.networks import CPU, Rows
from model.artifact import Weights
from model.config import LABELS
from model.engines import group_by_length
from model.network import reverse_inside_length
from model.network_shapes import EMBEDDING
from model.progress import Progress
from model.text.vocabulary import PADDING, PADDING_ID, UNKNOWN, Vocabulary
from model.training.optimization import Sequences, pad_tensors

GATES = ("input", "forget", "output", "written")
NEGATIONS = (
    *("不", "没", "没有", "无", "别", "并非", "未", "非", "从未", "毫无", "并不"),
    *("不是", "不要", "不会", "不能", "不用", "不太", "不够"),
)
FILLERS = tuple("的了是我你他这那就也有地得着过吧啊呢,.")
SENTIMENT_WORDS = 40  # of each polarity
LONG = 0.8  # mean forget gate above which a feature counts as long memory


def gates(weights: Weights, direction: str, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gates at every word, and the states, which equal those of ``nn.LSTM``.

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
    vectors = torch.from_numpy(weights[EMBEDDING])[ids].float()  # (B, T, E)
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
    """Return the words most associated with positive rows, and those with negative ones.

    Ranked by the Cochran-Mantel-Haenszel statistic with corpora as strata, so that a word gains
    nothing by appearing in a corpus that is mostly positive.
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
    """Return (V,) how often each word of the vocabulary occurs in rows."""
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
class GateValues:
    """One direction's gates at every word of all texts, concatenated: (words, 4)."""

    ids: NDArray[np.int32]
    texts: NDArray[np.int64]  # index of each word's text
    values: NDArray[np.float32]

    forget: NDArray[np.float32]  # (H,) mean over the words, by feature

    @classmethod
    def all(cls, weights: Weights, texts: Sequences, direction: str) -> "GateValues":
        """Run one direction over all texts; the values are means over the features."""
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
        """Return the gates ``offset`` words after a word, in the same text: (occurrences, 4)."""
        places = np.flatnonzero(self.ids == word)
        there = places + offset
        inside = (there >= 0) & (there < len(self.ids))
        places, there = places[inside], there[inside]
        found: NDArray[np.float32] = self.values[there[self.texts[there] == self.texts[places]]]
        return found


def word_lists(train: Rows, vocabulary: Vocabulary) -> dict[str, Sequence[str]]:
    """Return the words of each class."""
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
    """Return masks of the words in each class, in none, and of all words."""
    found = {
        name: np.isin(ids, [vocabulary.get(word) or PADDING_ID for word in listed])
        for name, listed in words.items()
    }
    return found | {"any other": ~np.any(list(found.values()), axis=0), "all": ids != PADDING_ID}


def word_report(classes: Mapping[str, Sequence[str]], vocabulary: Vocabulary) -> str:
    """List the words of each class."""
    return "\n".join(
        f"- {name}: {' '.join(f'`{word}`' for word in words if word in vocabulary)}"
        for name, words in classes.items()
    )


def gate_report(classes: Mapping[str, NDArray[np.bool_]], read: Mapping[str, GateValues]) -> str:
    """Return a table of each gate by class: mean, deviation, and distance from all words."""
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


def rarity_report(read: Mapping[str, GateValues], counts: NDArray[np.int64]) -> str:
    """Report how the input gate correlates with the rarity of a word."""
    found = [
        np.corrcoef(-np.log1p(counts[r.ids]), r.values[:, GATES.index("input")])[0, 1]
        for r in read.values()
    ]
    shown = " and ".join(f"{c:+.2f} {name}s" for c, name in zip(found, read, strict=True))
    return f"Correlation of the input gate with the rarity of the word (-log frequency): {shown}."


def memory_report(read: Mapping[str, GateValues]) -> str:
    """Report how features differ in what they keep."""
    found = [
        f"{np.median(r.forget):.2f} in the middle feature and above {LONG:g} in "
        f"{(r.forget > LONG).sum()} of {len(r.forget)} {name}s"
        for name, r in read.items()
    ]
    return f"Mean forget gate of a feature: {', '.join(found)}."


# In English, since a viewer of the figures may have no Chinese font.
MARKS = {
    "但是": ("'but' (danshi)", "#c0392b"),
    "而且": ("'and also' (erqie)", "#7f8c8d"),
    ",": ("a comma", "#2980b9"),
}


def forget_around(found: GateValues, direction: str, word: int, place: int) -> NDArray[np.float32]:
    """Return the forget gate at the words read ``place`` words after a word: (occurrences,)."""
    offset = place if direction == "forward" else -place
    values: NDArray[np.float32] = found.around(word, offset)[:, GATES.index("forget")]
    return values


def contrast_report(read: Mapping[str, GateValues], vocabulary: Vocabulary) -> str:
    """Return a table of the forget gate at words and at their neighbours."""
    lines = [
        "| forget gate | reading | occurrences | at the word read before | at it "
        "| at the word read after |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for word, (name, _) in MARKS.items():
        for direction, found in read.items():
            values = [
                forget_around(found, direction, word_id(vocabulary, word), place)
                for place in (-1, 0, 1)
            ]
            cells = [f"{v.mean():.3f} ± {v.std():.3f}" for v in values]
            lines.append(f"| {name} | {direction}s | {len(values[1]):,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def word_id(vocabulary: Vocabulary, word: str) -> int:
    """Return the id of a word that the vocabulary contains."""
    found = vocabulary.get(word)
    assert found is not None
    return found
