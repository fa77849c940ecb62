"""The service that a tutorial would write, with our weights.

FastAPI, jieba, torch; the handler does the work, one request at a time.

    python bench/serving/systems/tutorial.py PORT
"""

import sys
from pathlib import Path

import jieba
import numpy as np
import torch
import uvicorn
from fastapi import FastAPI

import model
from model import artifact as artifacts
from model.config import LABELS
from model.network import SentimentNetwork
from model.text.vocabulary import PADDING_ID, UNKNOWN_ID
from service.schemas import (
    BatchItem,
    BatchRequest,
    BatchResponse,
    BatchSuccess,
    ModelVersion,
    PredictRequest,
    PredictResponse,
    Probabilities,
    Sentiment,
    TextFacts,
)

LONGEST = 256  # words of a text; a tutorial cuts the rest off

jieba.initialize()
artifact = artifacts.load(Path(model.__file__).parent / "artifacts" / "zh-general")
word_ids = {word: index for index, word in enumerate(artifact.vocabulary.words)}
stopwords = set(artifact.stopwords)
network = SentimentNetwork(len(word_ids), len(LABELS), artifact.manifest.network)
network.load_state_dict(
    {name: torch.from_numpy(w.astype(np.float32)) for name, w in artifact.weights.items()}
)
network.eval()

app = FastAPI()
MODEL = ModelVersion(name="tutorial", version="1.0.0", digest=artifact.digest)


def to_ids(text: str) -> list[int]:
    """The ids of a text's words, without stopwords."""
    words = [word for word in jieba.lcut(text) if word.strip() and word not in stopwords]
    return [word_ids.get(word, UNKNOWN_ID) for word in words[:LONGEST]] or [UNKNOWN_ID]


def classify(texts: list[str]) -> list[Sentiment]:
    """The answers for texts, run as one padded batch."""
    sequences = [to_ids(text) for text in texts]
    lengths = [len(sequence) for sequence in sequences]
    padded = [
        sequence + [PADDING_ID] * (max(lengths) - length)
        for sequence, length in zip(sequences, lengths, strict=True)
    ]
    with torch.no_grad():
        logits = network(torch.tensor(padded), torch.tensor(lengths))
        probabilities = torch.softmax(logits, dim=1)
    answers = []
    for text, sequence, row in zip(texts, sequences, probabilities.tolist(), strict=True):
        best = max(range(len(LABELS)), key=lambda label: row[label])
        answers.append(
            Sentiment(
                label=LABELS[best],
                confidence=row[best],
                probabilities=Probabilities(**dict(zip(LABELS, row, strict=True))),
                uncertain=False,
                text=TextFacts(
                    characters=len(text),
                    tokens=len(sequence),
                    unknown=sequence.count(UNKNOWN_ID),
                    windows=1,
                ),
            )
        )
    return answers


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    """Requests may come."""
    return {"status": "ready"}


@app.post("/v1/predict")
async def predict(request: PredictRequest) -> PredictResponse:
    """The answer for one text."""
    return PredictResponse(**dict(classify([request.text])[0]), model=MODEL)


@app.post("/v1/predict/batch")
async def predict_batch(request: BatchRequest) -> BatchResponse:
    """The answers for several texts."""
    items = [item for item in request.items if isinstance(item, BatchItem)]
    answers = classify([item.text for item in items])
    results = [
        BatchSuccess(id=item.id, **dict(answer))
        for item, answer in zip(items, answers, strict=True)
    ]
    return BatchResponse(results=list(results), model=MODEL)


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
