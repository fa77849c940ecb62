"""The service that a tutorial would write, with our weights.

FastAPI, jieba, torch; the handler does the work, one request at a time.

    python -m bench.serving.systems.tutorial PORT
"""

from pathlib import Path

import jieba
import numpy as np
import torch

import model
from bench.serving.systems._app import app_around, run, sentiment
from model import artifact as artifacts
from model.config import LABELS
from model.network import SentimentNetwork
from model.text.vocabulary import PADDING_ID, UNKNOWN_ID
from service.schemas import ModelVersion, Sentiment

MAX_WORDS = 256  # a tutorial truncates

jieba.initialize()
artifact = artifacts.load(Path(model.__file__).parent / "artifacts" / "zh-general")
word_ids = {word: index for index, word in enumerate(artifact.vocabulary.words)}
stopwords = set(artifact.stopwords)
network = SentimentNetwork(len(word_ids), len(LABELS), artifact.manifest.network)
network.load_state_dict(
    {name: torch.from_numpy(w.astype(np.float32)) for name, w in artifact.weights.items()}
)
network.eval()


def to_ids(text: str) -> list[int]:
    """Return the ids of a text's words, without stopwords."""
    words = [word for word in jieba.lcut(text) if word.strip() and word not in stopwords]
    return [word_ids.get(word, UNKNOWN_ID) for word in words[:MAX_WORDS]] or [UNKNOWN_ID]


def classify(texts: list[str]) -> list[Sentiment]:
    """Return the answers for texts, run as one padded batch."""
    sequences = [to_ids(text) for text in texts]
    lengths = [len(sequence) for sequence in sequences]
    padded = [
        sequence + [PADDING_ID] * (max(lengths) - length)
        for sequence, length in zip(sequences, lengths, strict=True)
    ]
    with torch.no_grad():
        logits = network(torch.tensor(padded), torch.tensor(lengths))
        probabilities = torch.softmax(logits, dim=1)
    return [
        sentiment(row, text, tokens=len(sequence), unknown=sequence.count(UNKNOWN_ID))
        for text, sequence, row in zip(texts, sequences, probabilities.tolist(), strict=True)
    ]


if __name__ == "__main__":
    version = ModelVersion(name="tutorial", version="1.0.0", digest=artifact.digest)
    run(app_around(classify, version))
