"""SnowNLP with our endpoints.

    python -m bench.serving.systems.snownlp_service PORT

Its handlers run in FastAPI's threads, since they do the work themselves.
"""

from snownlp import SnowNLP

from bench.serving.systems._app import app_around, run, sentiment
from service.schemas import ModelVersion, Sentiment


def classify(texts: list[str]) -> list[Sentiment]:
    """Return the answers for texts, one after the other: SnowNLP has no batches and no neutral."""
    answers = []
    for text in texts:
        try:
            positive = SnowNLP(text).sentiments
        except ZeroDivisionError:  # which it raises for a text that leaves no word
            positive = 0.5
        answers.append(sentiment([positive, 0, 1 - positive], text))
    return answers


if __name__ == "__main__":
    version = ModelVersion(name="SnowNLP", version="0.12.3", digest="0" * 64)
    run(app_around(classify, version, in_threads=True))
