"""How well each network predicts, by the length of the text."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.document import machine
from bench.why_lstm.networks import (
    CPU,
    FORMS,
    LSTM,
    RATES,
    READ_OUTS,
    Networks,
    Rows,
    recurrent_weights,
)
from model.config import RunConfig
from model.corpora import Example, load_test
from model.scores import accuracy_and_macro_f1, predicted_labels
from model.text.encoding import Encoder
from model.training.finetune import logits_of

BOUNDS = (0, 8, 16, 32, 64, 128, 256)  # of the buckets of lengths, in words
MIN_BUCKET_TEXTS = 50


@dataclass(frozen=True)
class Predictions:
    """What every network predicted for the rows of one kind of corpus.

    ``chosen`` holds labels (seeds, texts) by cell and read-out.
    """

    rows: Rows
    chosen: Mapping[tuple[str, str], NDArray[np.int64]]

    def buckets(self) -> list[tuple[str, NDArray[np.bool_]]]:
        """Return the names of the buckets with enough texts, and which texts are in each."""
        lengths = self.rows.lengths
        inside = (
            (low, high, (lengths > low) & (lengths <= high)) for low, high in pairwise(BOUNDS)
        )
        return [
            (f"{low + 1}–{high}", which)
            for low, high, which in inside
            if which.sum() >= MIN_BUCKET_TEXTS
        ]

    def scores(
        self, form: tuple[str, str], metric: str, inside: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Return accuracy or macro-F1 per seed, in points: (seeds,)."""
        which = np.ones(len(self.rows.ids), dtype=bool) if inside is None else inside
        labels = self.rows.labels[which].tolist()
        return np.array(
            [100 * accuracy_and_macro_f1(labels, c[which])[metric] for c in self.chosen[form]]
        )

    def difference(
        self, read_out: str, cell: str, inside: NDArray[np.bool_]
    ) -> tuple[float, float]:
        """Return the LSTM's accuracy minus another cell's, in points, and two standard errors.

        The comparison is paired by text, after averaging over seeds.
        """
        right = [
            (self.chosen[name, read_out][:, inside] == self.rows.labels[inside]).mean(axis=0)
            for name in (LSTM, cell)
        ]
        apart = 100 * (right[0] - right[1])
        return float(apart.mean()), float(2 * apart.std(ddof=1) / len(apart) ** 0.5)


METRICS = {"reviews": "accuracy", "three classes": "macro_f1"}


def evaluation_rows(
    config: RunConfig, data: Path, dev: list[Example] | None, encoder: Encoder
) -> dict[str, Rows]:
    """Return all rows of test, or of dev, by whether their corpus has a neutral label."""
    kinds: dict[str, list[Example]] = {kind: [] for kind in METRICS}
    for source in config.data.sources:
        kind = "reviews" if source.two_classes else "three classes"
        kinds[kind] += (
            load_test(source, data)
            if dev is None
            else [example for example in dev if example.source == source.name]
        )
    return {kind: Rows.encoded(examples, encoder) for kind, examples in kinds.items()}


def predict_all(networks: Networks, kinds: Mapping[str, Rows]) -> dict[str, Predictions]:
    """Predict all rows with all networks."""
    return {
        kind: Predictions(
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


def setting_report(
    config: RunConfig, networks: Networks, train: Rows, kinds: Mapping[str, Rows]
) -> str:
    """Describe what was trained, on what data, and on which machine."""
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


def accuracy_report(answers: Mapping[str, Predictions], networks: Networks) -> str:
    """Return two tables: every network's scores, and their differences by length."""
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
    """Format the mean, and the lowest and highest seed."""
    return f"{values.mean():.1f} ({values.min():.1f} to {values.max():.1f})"
