"""What dropping stopwords costs: a linear model over words, trained once for each list.

A linear model answers in seconds and twice the same, so that groups of words can be told apart,
which one network's noise of half a point would hide. Dev splits alone are read.

    SENTIMENT_DATA=... .venv/bin/python bench/stopwords.py

prints a Markdown table: the share of the words dropped and the mean over the dev splits of accuracy
(two classes) or macro-F1 (three), less that of dropping nothing.
"""

import os
from pathlib import Path

import numpy as np
import stopwordsiso
from sklearn.feature_extraction.text import TfidfVectorizer

from model.config import load_config
from model.corpora import Example, load_splits
from model.evaluation.baselines import OneVsRestSvm
from model.text.normalization import normalize
from model.text.pipeline import TextPipeline
from model.text.stopwords import default_stopwords, kept_words
from model.training.finetune import dev_scores

config = load_config("zh-general")
sources = {source.name: source for source in config.data.sources}


def words_of(examples: list[Example]) -> list[list[str]]:
    """Every word of every text."""
    pipeline = TextPipeline()
    return [[token.normalized for token in pipeline.tokenize(e.text)] for e in examples]


def features(words: list[str], dropped: frozenset[str]) -> list[str]:
    """The words that are left and their pairs."""
    left = [word for word in words if word not in dropped] or words
    return left + [f"{a} {b}" for a, b in zip(["^", *left], [*left, "$"], strict=True)]


def measure(dropped: frozenset[str]) -> tuple[float, float]:
    """The share of the words that a list drops, and the dev score without them."""
    vectorizer = TfidfVectorizer(
        analyzer=lambda words: features(words, dropped),
        min_df=2,
        sublinear_tf=True,
        dtype=np.float32,
    )
    x, x_dev = vectorizer.fit_transform(train_words), vectorizer.transform(dev_words)
    scores = OneVsRestSvm(x, splits.train, config, cost=0.3).scores(x_dev)
    share = sum(word in dropped for words in train_words for word in words) / total
    return share, dev_scores(scores, splits.dev, sources)["mean"]["score"]


splits = load_splits(config.data, Path(os.environ["SENTIMENT_DATA"]))
train_words, dev_words = words_of(splits.train), words_of(splits.dev)
total = sum(map(len, train_words))
listed = frozenset(normalize(word).text for word in stopwordsiso.stopwords("zh"))
lists = {"none": frozenset[str](), "ours": default_stopwords(), "all": listed}
for group, kept in kept_words().items():
    lists[f"{group} alone"] = listed & kept

print("| dropped | share of the words | dev score |\n|---|---:|---:|")
none = 0.0
for name, dropped in lists.items():
    share, score = measure(dropped)
    none = none or score
    shown = f"{100 * score:.2f}" if name == "none" else f"{100 * (score - none):+.2f}"
    print(f"| {name} | {100 * share:.1f}% | {shown} |", flush=True)
