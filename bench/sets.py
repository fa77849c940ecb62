"""Which labelled sets help: a linear model trained without each of them in turn.

A linear model answers in seconds and twice the same, so that sets can be told apart, which a
network's noise of half a point would hide. Dev splits alone are read.

    SENTIMENT_DATA=... .venv/bin/python -m bench.sets

prints a Markdown table: for each set left out, its training rows, and how the accuracy on the dev
rows of `annotated` and the mean over the other dev splits change, in points.
"""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import SGDClassifier

from model.config import LABELS, NEUTRAL, load_config
from model.corpora import Example, load_splits
from model.progress import Progress
from model.training.finetune import dev_scores

YARDSTICK = "annotated"
SEEDS = (0, 1, 2)


def main() -> None:
    """Prints Markdown."""
    config = load_config("zh-general")
    sources = {source.name: source for source in config.data.sources}
    splits = load_splits(config.data, Path(os.environ["SENTIMENT_DATA"]))
    vectorizer = HashingVectorizer(
        analyzer="char", ngram_range=(1, 3), n_features=2**20, alternate_sign=False, norm=None
    )
    counts = vectorizer.transform(row.text for row in splits.train)
    weighing = TfidfTransformer(sublinear_tf=True).fit(counts)
    features = csr_matrix(weighing.transform(counts))
    dev = csr_matrix(weighing.transform(vectorizer.transform(row.text for row in splits.dev)))
    origins = np.array([row.source for row in splits.train])
    labels = np.array([row.label for row in splits.train])
    weights = np.array([sources[row.source].weight * row.weight for row in splits.train])
    binary = np.array([sources[row.source].two_classes for row in splits.train])

    def measured(kept: NDArray[np.bool_]) -> tuple[float, float]:
        """Accuracy on the yardstick, and the mean over the other sets, in percent."""
        scores = np.zeros((dev.shape[0], len(LABELS)))
        for seed in SEEDS:
            for label in range(len(LABELS)):
                rows = kept & ~binary if label == NEUTRAL else kept
                machine = SGDClassifier(alpha=1e-6, max_iter=4, tol=None, random_state=seed)
                machine.fit(features[rows], labels[rows] == label, sample_weight=weights[rows])
                scores[:, label] += machine.decision_function(dev)
        return _figures(scores, splits.dev)

    def _figures(scores: NDArray[np.float64], examples: list[Example]) -> tuple[float, float]:
        metrics = dev_scores(scores, examples, sources)
        others = [
            values["accuracy" if sources[name].two_classes else "macro_f1"]
            for name, values in metrics.items()
            if name not in (YARDSTICK, "mean")
        ]
        return 100 * metrics[YARDSTICK]["accuracy"], 100 * float(np.mean(others))

    names = [name for name in sources if (origins == name).any()]
    with Progress("sets", len(names) + 1) as progress:
        whole = measured(np.ones(len(labels), dtype=bool))
        progress.step()
        print("| left out | rows | annotated dev | other dev splits |")
        print("|---|---:|---:|---:|")
        print(f"| nothing | {len(labels):,} | {whole[0]:.2f} | {whole[1]:.2f} |", flush=True)
        for name in names:
            without = measured(origins != name)
            rows = int((origins == name).sum())
            print(
                f"| {name} | {rows:,} | {without[0] - whole[0]:+.2f} | "
                f"{without[1] - whole[1]:+.2f} |",
                flush=True,
            )
            progress.step()


if __name__ == "__main__":
    main()
