"""The model card, generated from the run that made the model."""

from collections import Counter

from model.config import RunConfig
from model.data import Splits


def model_card(config: RunConfig, splits: Splits, metrics: dict[str, dict[str, float]]) -> str:
    """A Markdown card with Hugging Face's metadata: the data, its licences, the dev scores."""
    train = Counter(example.source for example in splits.train)
    dev = Counter(example.source for example in splits.dev)
    data = "\n".join(
        f"| {source.name} | {train[source.name]:,} | {dev[source.name]:,} "
        f"| {'positive, negative' if source.two_classes else 'positive, neutral, negative'} "
        f"| {source.origin} | {source.licence} |"
        for source in config.data.sources
    )
    scores = "\n".join(
        f"| {name} | {values['accuracy']:.3f} | {values['macro_f1']:.3f} |"
        for name, values in metrics.items()
        if name != "mean"
    )
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in splits.left_out.items())
    pretraining, unlabelled = "", ""
    if config.pretrain:
        pretraining = "pre-trained as two language models on the texts below, then "
        unlabelled = "".join(
            f"| {source.name} | {source.sample:.0%} of it, without labels | | "
            f"| {source.origin} | {source.licence} |\n"
            for source in config.pretrain.unlabelled
        )
    return f"""---
language: zh
library_name: zh-sentiment
pipeline_tag: text-classification
tags: [sentiment-analysis, lstm]
---

# {config.name} {config.version}

Says whether a Chinese text is positive, neutral or negative. A bidirectional LSTM over words
({config.network.embedding_size} embedding, {config.network.hidden_size} hidden features a
direction), {pretraining}trained on labelled texts with seed {config.seed}.

{config.data.notes}

## Training data

| set | train rows | dev rows | labels | origin | licence |
|---|---|---|---|---|---|
{data}
{unlabelled}
Left out of training and dev: {left_out}.

## Scores on the dev splits

| set | accuracy | macro-F1 |
|---|---|---|
{scores}

For sets labelled positive or negative alone, the more probable of these two counts.
"""
