"""The wire format of responses; that of explanations is in ``explanation_schemas``."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, TypedDict

from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from model import LABELS, Artifact, Prediction, classifier, config
from service.problems import Problem
from service.request_schemas import Identifier
from service.settings import Settings

# By these names the OpenAPI document has one schema for each, to which all others refer.
Label = TypeAliasType(
    "Label", Annotated[config.Label, Field(description="What a text says of its subject.")]
)
Doubt = TypeAliasType(
    "Doubt",
    Annotated[
        classifier.Doubt,
        Field(
            description="`low_confidence`: the confidence is below `uncertain_below` of "
            "`/v1/model`. `no_chinese`: the text has no Chinese word. `unknown_words`, only "
            "besides one of these: at least half of the words are not in the vocabulary."
        ),
    ],
)

Ratio = Annotated[float, Field(ge=0, le=1)]
Probability = Ratio


def by_label(values: Sequence[float]) -> dict[str, float]:
    """Return values that are in the order of the labels by their labels, rounded."""
    return {label: round(value, 6) for label, value in zip(LABELS, values, strict=True)}


class Probabilities(BaseModel):
    """Calibrated probabilities; they sum to 1."""

    positive: Probability = Field(description="Of positive.")
    neutral: Probability = Field(description="Of neutral.")
    negative: Probability = Field(description="Of negative.")

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return them from values in the order of the labels."""
        return cls(**by_label(values))


class TextFacts(BaseModel):
    """What was read of a text, and how much of it was unknown."""

    characters: int = Field(description="Code points of the text.")
    tokens: int = Field(description="Tokens read, without stopwords.")
    unknown: int = Field(
        description="Those of them that the vocabulary lacks, read by their characters."
    )
    windows: int = Field(description="Parts that a long text was read in; nothing is cut off.")


class ModelVersion(BaseModel):
    """Which model answered."""

    name: str = Field(description="Its name.")
    version: str = Field(description="Its version, by Semantic Versioning.")
    digest: str = Field(description="SHA-256 of the artifact's manifest.")

    @classmethod
    def of(cls, artifact: Artifact) -> Self:
        """Return the name, version and digest of an artifact."""
        manifest = artifact.manifest
        return cls(name=manifest.name, version=manifest.version, digest=artifact.digest)


class LabelledText(BaseModel):
    """What the answers for a text and for a sentence share."""

    label: Label = Field(description="The most probable label.")
    confidence: Probability = Field(description="The probability of the label.")
    probabilities: Probabilities
    uncertain: bool = Field(description="Whether a person should check the answer.")
    uncertain_because: list[Doubt] = Field(
        description="Why the answer is uncertain; empty if it is not."
    )


class Sentiment(LabelledText):
    """The answer for one text."""

    text: TextFacts


class LabelFields(TypedDict):
    """The fields that the answers for a text and for a sentence share."""

    label: Label
    confidence: float
    probabilities: Probabilities
    uncertain: bool
    uncertain_because: list[Doubt]


class SentimentFields(LabelFields):
    """The fields of ``Sentiment``, for the classes that add some."""

    text: TextFacts


def label_fields(prediction: Prediction) -> LabelFields:
    """Return what a prediction says of its text or sentence."""
    return {
        "label": prediction.label,
        "confidence": round(prediction.confidence, 6),
        "probabilities": Probabilities.of(prediction.probabilities),
        "uncertain": prediction.uncertain,
        "uncertain_because": list(prediction.uncertain_because),
    }


def sentiment_fields(prediction: Prediction) -> SentimentFields:
    """Return the fields of ``Sentiment`` for a prediction."""
    encoding = prediction.encoding
    return {
        **label_fields(prediction),
        "text": TextFacts(
            characters=encoding.characters,
            tokens=encoding.tokens,
            unknown=encoding.unknown,
            windows=len(encoding.windows),
        ),
    }


class PredictResponse(Sentiment):
    """The answer for one text, and which model gave it."""

    model: ModelVersion


class _ItemResult(BaseModel):
    id: Identifier = Field(default=None, description="The `id` of the item, as it came.")


class BatchSuccess(Sentiment, _ItemResult):
    """The answer for one item."""


class BatchFailure(_ItemResult):
    """Why one item has no answer."""

    error: Problem = Field(description="What is wrong with it, as if it had been sent alone.")


class BatchResponse(BaseModel):
    """One result per item, in the order of the request."""

    results: list[BatchSuccess | BatchFailure] = Field(
        description="One for each item, in their order."
    )
    model: ModelVersion


class StreamFailure(BatchFailure):
    """Why one line has no answer or, without ``line``, why the stream ended before its last."""

    line: int | None = Field(
        default=None, description="The number of the line in the body, from 1, blank ones included."
    )


class LabelCounts(BaseModel):
    """Numbers of texts by label."""

    positive: int = Field(description="Texts that are positive.")
    neutral: int = Field(description="Texts that are neutral.")
    negative: int = Field(description="Texts that are negative.")


class StreamSummary(BaseModel):
    """Counts of a stream's lines; blank lines do not count."""

    lines: int = Field(description="Lines that were read.")
    answered: int = Field(description="Those of them that were answered.")
    failed: int = Field(description="Those of them that got an error.")
    labels: LabelCounts = Field(description="Answered lines by label.")


class StreamEnd(BaseModel):
    """The last line of a stream."""

    summary: StreamSummary
    model: ModelVersion


def _limit(setting: str, *, renamed: bool = False) -> Any:
    """Return the field of a limit that is a setting, described as that is."""
    return Field(
        description=Settings.model_fields[setting].description,
        validation_alias=setting if renamed else None,
    )


class Limits(BaseModel):
    """The limits in force."""

    max_text_characters: int = _limit("max_text_characters")
    max_items: int = _limit("max_items")
    max_explained_units: int = _limit("max_explained_units")
    max_body_bytes: int = _limit("max_body_bytes")
    upload_bytes: int = _limit("max_inflight_body_bytes", renamed=True)
    batch_texts: int = _limit("max_batch_texts", renamed=True)
    queue_texts: int = _limit("max_queue_texts", renamed=True)
    queue_seconds: float = _limit("max_queue_seconds", renamed=True)
    deadline_seconds: float = _limit("deadline_seconds")
    stream_idle_seconds: float = _limit("stream_idle_seconds")
    drain_seconds: float = _limit("drain_seconds")
    keep_alive_seconds: int = _limit("keep_alive_seconds")
    rate_limit: str | None = _limit("rate_limit")
    max_connections: int = _limit("max_connections")
    threads: int = _limit("threads")
    workers: int = _limit("workers")


class Words(BaseModel):
    """Words that the settings add to the artifact's."""

    user: list[str] = Field(description="Never split.")
    stopwords: list[str] = Field(description="Dropped too.")
    kept: list[str] = Field(description="Not dropped.")
    unmatched: list[str] = Field(
        description="Without effect: several tokens, or read as another word."
    )


class ModelResponse(ModelVersion):
    """The default model, the other models, and the limits in force."""

    labels: list[Label] = Field(description="The labels, in the order of the network's.")
    engine: str = Field(description="What runs the network: `onnx` or `torch`.")
    temperature: float = Field(description="The network's logits are divided by it.")
    uncertain_below: float = Field(
        description="The confidence below which an answer is `uncertain`."
    )
    window: int = Field(description="Ids that the network reads at once.")
    vocabulary: int = Field(description="Words that the model knows.")
    stopwords: int = Field(description="Words that are left out of a text.")
    metrics: dict[str, dict[str, float]] = Field(
        description="Scores on held-out texts when it was trained, by the set of texts."
    )
    card: str = Field(description="The model card, in Markdown.")
    words: Words
    models: list[ModelVersion] = Field(description="Every model that a request may name.")
    limits: Limits


class ServedModel(ModelVersion):
    """A model that a request may name."""

    id: str = Field(description="What a request names it by, in `model`: its name and version.")
    object: Literal["model"] = Field(default="model", description="As in OpenAI's list of models.")
    default: bool = Field(description="Whether it answers requests that name none.")


class ModelList(BaseModel):
    """Every model that a request may name, in the form of OpenAI's list of models."""

    object: Literal["list"] = Field(default="list", description="As in OpenAI's list of models.")
    data: list[ServedModel] = Field(description="The models, the default one first.")


Status = Literal["loading", "ready", "saturated", "draining", "failed"]


class Health(BaseModel):
    """Whether the service takes requests, and why not."""

    status: Status = Field(
        description="`ready`, or `saturated` if the queue is full; otherwise why not."
    )
    detail: str = Field(description="The status in a sentence.")
    model: ModelVersion | None = Field(
        default=None, description="The default model; null while there is none."
    )


class Alive(BaseModel):
    """The process runs."""

    status: Literal["alive"] = Field(default="alive", description="That is all.")
