"""Chinese sentiment classification: text to tokens to an LSTM to calibrated probabilities.

The names in ``__all__`` are the package's public interface. Each is loaded when it is first used,
so importing the package costs nothing; none of them loads torch or a web framework.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.artifact import Artifact
    from model.classifier import Classifier, Prediction
    from model.config import LABELS, Label
    from model.errors import (
        ArtifactError,
        BlankTextError,
        ConfigError,
        DataError,
        SentimentError,
        TextError,
        TextLimitError,
    )
    from model.explain import Explanation, OcclusionPlan
    from model.text.custom_words import CustomWords, read_custom_words
    from model.text.encoding import Encoding
    from model.text.sentences import Sentence, split_sentences

__all__ = [
    "LABELS",
    "Artifact",
    "ArtifactError",
    "BlankTextError",
    "Classifier",
    "ConfigError",
    "CustomWords",
    "DataError",
    "Encoding",
    "Explanation",
    "Label",
    "OcclusionPlan",
    "Prediction",
    "Sentence",
    "SentimentError",
    "TextError",
    "TextLimitError",
    "read_custom_words",
    "split_sentences",
]

_MODULE_OF = {
    "LABELS": "model.config",
    "Artifact": "model.artifact",
    "ArtifactError": "model.errors",
    "BlankTextError": "model.errors",
    "Classifier": "model.classifier",
    "ConfigError": "model.errors",
    "CustomWords": "model.text.custom_words",
    "DataError": "model.errors",
    "Encoding": "model.text.encoding",
    "Explanation": "model.explain",
    "Label": "model.config",
    "OcclusionPlan": "model.explain",
    "Prediction": "model.classifier",
    "Sentence": "model.text.sentences",
    "SentimentError": "model.errors",
    "TextError": "model.errors",
    "TextLimitError": "model.errors",
    "read_custom_words": "model.text.custom_words",
    "split_sentences": "model.text.sentences",
}


if not TYPE_CHECKING:  # with it, type checkers would accept any name

    def __getattr__(name: str) -> object:
        """Load a public name, once."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value
