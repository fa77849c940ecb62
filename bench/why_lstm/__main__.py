"""Measure what the gates of an LSTM contribute; the results are in docs/why-lstm.md.

    SENTIMENT_DATA=... .venv/bin/python -m bench.why_lstm [--write]

Plain RNNs and LSTMs are trained on the same rows with the same settings and scored on the test
splits; their gradients are followed back through time; and the gates of the shipped model are
recorded word by word. Settings were chosen with `--dev`, which scores on the dev splits instead.
"""

import argparse
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bench.document import FIGURES, replace_block
from bench.why_lstm.accuracy import (
    accuracy_report,
    evaluation_rows,
    predict_all,
    setting_report,
)
from bench.why_lstm.gates import (
    GateValues,
    contrast_report,
    counted,
    gate_report,
    memory_report,
    rarity_report,
    word_classes,
    word_lists,
    word_report,
)
from bench.why_lstm.gradient import (
    gradient_report,
    gradient_shares,
)
from bench.why_lstm.networks import (
    Rows,
    run_config,
    train_all,
)
from bench.why_lstm.plots import (
    draw_accuracy,
    draw_contrast,
    draw_gates,
    draw_gradient,
)
from model import artifact as artifacts
from model.config import LABELS
from model.corpora import load_splits
from model.network import SentimentNetwork
from service.settings import SHIPPED_MODEL

PAGE = FIGURES.parent / "why-lstm.md"
ROWS = 40_000  # of the train rows
SEEDS = (1, 2, 3)
MUTILATED = "ncov_weibo"  # its stopwords and punctuation were removed upstream


def main() -> None:
    """Train, measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.why_lstm", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write to docs/{PAGE.name}")
    parser.add_argument("--dev", action="store_true", help="score on dev, not on test")
    parser.add_argument("--run", type=Path, help="keeps trained networks, to resume from")
    options = parser.parse_args()
    if options.write and options.dev:
        parser.error("the page reports the test splits")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    data = Path(os.environ["SENTIMENT_DATA"])
    shipped = artifacts.load(SHIPPED_MODEL)
    encoder, weights = shipped.encoder(), shipped.weights
    vocabulary = encoder.vocabulary
    config = run_config()
    splits = load_splits(config.data, data)
    chosen = np.random.default_rng(0).permutation(len(splits.train))[:ROWS]
    train = Rows.encoded([splits.train[index] for index in chosen], encoder)
    dev = Rows.encoded(splits.dev, encoder)
    kinds = evaluation_rows(config, data, splits.dev if options.dev else None, encoder)

    with tempfile.TemporaryDirectory() as folder:
        run = options.run or Path(folder)
        networks = train_all(config, len(vocabulary), train, dev, run, SEEDS)
    answers = predict_all(networks, kinds)

    network = SentimentNetwork(len(vocabulary), len(LABELS), shipped.manifest.network)
    network.load_state_dict({n: torch.from_numpy(w).float() for n, w in weights.items()})
    gradient = gradient_shares(networks, network, len(vocabulary), config, kinds["reviews"])

    texts = [
        ids
        for rows in kinds.values()
        for example, ids in zip(rows.examples, rows.ids, strict=True)
        if example.source != MUTILATED
    ]
    read = {name: GateValues.all(weights, texts, name) for name in ("forward", "backward")}
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
