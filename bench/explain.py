"""Whether explanations name the tokens that matter, and what one costs.

    SENTIMENT_DATA=... .venv/bin/python -m bench.explain [--write]

Deletion (Samek et al., 2017): the tokens that a method ranks highest are removed, a tenth of the
text at a time, and the served engine is asked for the probability of the label that it gave the
whole text. The faster that falls, the better the ranking; its mean over all tenths is the area
under the curve, the smaller the better.
"""

import argparse
import json
import logging
import os
import random
import tempfile
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.document import FIGURES, machine, replace_block
from bench.serving.servers import ONNX, Server
from model.classifier import Classifier
from model.config import LABELS, load_config
from model.corpora import load_test
from model.engines import BATCH_SIZE, TorchEngine
from model.explain import OcclusionPlan, log_odds
from model.progress import Progress
from model.text.vocabulary import UNKNOWN_ID
from model.traced_network import TracedNetwork
from service.settings import SHIPPED_MODEL

PAGE = FIGURES.parent / "explanations.md"
TEXTS = 500
TOKENS = range(10, 81)  # of a text: enough to remove some, and one window
STEPS = np.linspace(0, 1, 11)
GRADIENT_STEPS = 32
TIMED_TOKENS = 50
TIMED_TEXTS = 60

Scores = NDArray[np.float64]
COLORS = {
    "leaving out": "#c0392b",
    "integrated gradients": "#2980b9",
    "attention": "#8e44ad",
    "random": "#7f8c8d",
}


def test_texts() -> list[str]:
    """Every text of every test split, in an order drawn once."""
    directory = Path(os.environ["SENTIMENT_DATA"])
    sources = [source for source in load_config("zh-general").data.sources if source.test]
    texts = [example.text for source in sources for example in load_test(source, directory)]
    random.Random(1).shuffle(texts)
    return texts


def probabilities(classifier: Classifier, windows: Sequence[Sequence[int]]) -> Scores:
    """(windows, labels), by as many runs of the engine as they take."""
    runs = range(0, len(windows), BATCH_SIZE)
    return np.concatenate([classifier.probabilities(windows[at : at + BATCH_SIZE]) for at in runs])


class Methods:
    """Rankings of the ids of a text by how much they speak for its label, the highest first."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._traced = TracedNetwork(classifier.artifact.weights)
        self._network = TorchEngine(classifier.artifact)._network
        self._random = np.random.default_rng(1)

    def scores(self, ids: Sequence[int], label: int, whole: float) -> dict[str, Scores]:
        """For each method, (ids,) scores."""
        without = [[*ids[:place], *ids[place + 1 :]] for place in range(len(ids))]
        return {
            "leaving out": whole - probabilities(self._classifier, without)[:, label],
            "integrated gradients": self._integrated_gradients(ids, label),
            "attention": self._traced.trace([ids])[0].attention.astype(np.float64),
            "random": self._random.random(len(ids)),
        }

    def _integrated_gradients(self, ids: Sequence[int], label: int) -> Scores:
        """Sundararajan et al. (2017), from vectors of zeros, over the label's log-probability."""
        network = self._network
        vectors = network.reader.embedding(torch.tensor([ids])).detach()  # (1, T, E)
        along = (torch.arange(GRADIENT_STEPS) + 0.5) / GRADIENT_STEPS
        path = (along[:, None, None] * vectors).requires_grad_()  # (S, T, E)
        lengths = torch.full((GRADIENT_STEPS,), len(ids))
        logits = network.classify(*network.reader.read(path, lengths), lengths)  # (S, L)
        (gradients,) = torch.autograd.grad(logits.log_softmax(dim=1)[:, label].sum(), path)
        scores: Scores = (gradients.mean(dim=0) * vectors[0]).sum(dim=1).double().numpy()
        return scores


def curve(classifier: Classifier, ids: Sequence[int], scores: Scores, label: int) -> Scores:
    """(11,) the label's probability as the highest scores are removed, a tenth at a time."""
    order = np.argsort(-scores, kind="stable")
    left = []
    for step in STEPS[:-1]:
        removed = set(order[: round(step * len(ids))].tolist())
        left.append([number for place, number in enumerate(ids) if place not in removed])
    answers: Scores = probabilities(classifier, [*left, [UNKNOWN_ID]])[:, label]
    return answers


def deletion(classifier: Classifier, texts: Sequence[str]) -> dict[str, Scores]:
    """For each method, (11,) the mean curve over texts."""
    methods = Methods(classifier)
    curves: dict[str, list[Scores]] = {name: [] for name in COLORS}
    with Progress("deletion", total=len(texts)) as progress:
        for text in texts:
            (prediction,) = classifier.predict([text])
            (ids,) = prediction.encoding.windows
            label = LABELS.index(prediction.label)
            for name, scores in methods.scores(ids, label, prediction.confidence).items():
                curves[name].append(curve(classifier, ids, scores, label))
            progress.step()
    return {name: np.mean(rows, axis=0) for name, rows in curves.items()}


def agreement(classifier: Classifier, texts: Sequence[str]) -> str:
    """How far attributions of the served engine lie from those in float32, in a sentence."""
    exact = Classifier(classifier.artifact, TorchEngine(classifier.artifact))
    differences, same = [], 0
    for text in texts:
        (prediction,) = classifier.predict([text])
        label = LABELS.index(prediction.label)
        found = []
        for reader in (classifier, exact):
            (answer,) = reader.predict([text])
            plan = OcclusionPlan(reader, text, answer)
            omitted = probabilities(reader, plan.windows)
            found.append(
                (log_odds(np.array(answer.probabilities)) - log_odds(plan.without(omitted)))[label]
            )
        differences.append(np.abs(found[0] - found[1]))
        same += int(found[0].argmax() == found[1].argmax())
    every = np.concatenate(differences)
    return (
        f"A contribution on the int8 engine, in log-odds, lies {every.mean():.4f} from that in "
        f"float32 on average ({np.quantile(every, 0.99):.3f} at the 99th percentile), and the "
        "token that speaks most for the label is the same in "
        f"{100 * same / len(texts):.1f}% of the texts."
    )


def timing(classifier: Classifier, texts: Sequence[str]) -> str:
    """What an explanation takes over HTTP, by how its tokens are counted, and its memory."""
    lines = [
        "| a text of 50 tokens | texts | median ms | 90th percentile |",
        "|---|---:|---:|---:|",
    ]
    with tempfile.TemporaryDirectory() as folder, Server(ONNX, Path(folder)) as server:
        before = server.memory().rss
        connection = HTTPConnection(server.url("").removeprefix("http://"))

        def ask(path: str, text: str) -> float:
            started = time.perf_counter()
            body = json.dumps({"text": text}).encode()
            connection.request("POST", path, body, {"content-type": "application/json"})
            reply = connection.getresponse()
            content = reply.read()
            if reply.status != 200:
                raise RuntimeError(content.decode())
            return 1000 * (time.perf_counter() - started)

        for name, path, count in (
            ("predicted, 50 read", "/v1/predict", _read),
            ("explained, 50 in the reply", "/v1/explain", _in_reply),
            ("explained, 50 read", "/v1/explain", _read),
        ):
            fit = [text for text in texts if count(classifier, text) == TIMED_TOKENS]
            ask(path, fit[0])
            took = [ask(path, text) for text in fit[:TIMED_TEXTS]]
            high = quantiles(took, n=10)[-1]
            lines.append(f"| {name} | {len(took)} | {median(took):.1f} | {high:.1f} |")
        connection.close()
        grown = server.memory().rss - before
    return "\n".join([*lines, "", f"After these, the service holds {grown:.0f} MB more."])


def _in_reply(classifier: Classifier, text: str) -> int:
    return len(classifier.encoder.tokens(text))


def _read(classifier: Classifier, text: str) -> int:
    return classifier.encode(text).tokens


def areas(curves: dict[str, Scores]) -> str:
    """The area under each curve, and the probability that is left on the way, as a table."""
    shown = (1, 2, 3, 5)
    names = " | ".join(f"{100 * STEPS[index]:.0f}% removed" for index in shown)
    lines = [f"| method | area | {names} |", f"|---|---:|{'---:|' * len(shown)}"]
    for name, values in curves.items():
        left = " | ".join(f"{values[index]:.3f}" for index in shown)
        lines.append(f"| {name} | {np.trapezoid(values, STEPS):.3f} | {left} |")
    return "\n".join(lines)


def draw(curves: dict[str, Scores], path: Path) -> None:
    """The curves, a line a method."""
    mpl.rcParams["svg.hashsalt"] = "deletion"
    picture = Figure(figsize=(7, 4.2), layout="constrained")
    picture.set_facecolor("white")
    axes = picture.subplots()
    for name, values in curves.items():
        axes.plot(100 * STEPS, values, "o-", color=COLORS[name], label=name, markersize=4)
    axes.set_xlabel("tokens removed, the highest ranked first, %")
    axes.set_ylabel("mean probability of the label given")
    axes.set_ylim(0, 1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    picture.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measures, and prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.explain", description=__doc__)
    parser.add_argument(
        "--write", action="store_true", help="put tables and chart into docs/explanations.md"
    )
    parser.add_argument("--part", choices=("deletion", "time"), help="one of the two alone")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    classifier = Classifier.load(SHIPPED_MODEL, engine="onnx")
    texts = test_texts()
    if options.part != "deletion":
        table = f"{machine()}.\n\n{timing(classifier, texts)}"
        print(table, flush=True)
        if options.write:
            replace_block("explanation-time", table, PAGE)
    if options.part != "time":
        fit = [text for text in texts if classifier.encode(text).tokens in TOKENS]
        chosen = [text for text in fit if len(classifier.encode(text).windows) == 1][:TEXTS]
        curves = deletion(classifier, chosen)
        table = f"{len(chosen)} texts.\n\n{areas(curves)}\n\n{agreement(classifier, chosen)}"
        print(table)
        if options.write:
            draw(curves, FIGURES / "deletion.svg")
            picture = "![Probability of the label against tokens removed](figures/deletion.svg)"
            replace_block("deletion", f"{table}\n\n{picture}", PAGE)


if __name__ == "__main__":
    main()
