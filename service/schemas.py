"""The wire format of the API; that of explanations is in ``explanation_schemas``."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self, TypedDict

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic.functional_validators import AfterValidator, WrapValidator
from pydantic_core import PydanticCustomError

from model import LABELS, Artifact, Label, Prediction
from model.classifier import Doubt
from model.lines import has_lone_surrogate
from service.problems import FieldError, Problem, field_errors
from service.settings import MAX_BATCH_ITEMS

Ratio = Annotated[float, Field(ge=0, le=1)]
Probability = Ratio


def _without_lone_surrogates(text: str) -> str:
    if has_lone_surrogate(text):
        raise PydanticCustomError("string_unicode", "Input holds half of a surrogate pair")
    return text


# The key of a schema that names the setting which limits it.
LIMITED_BY: Final = "x-limited-by"


def _limited_by(bound: str, setting: str) -> Any:
    """Have the OpenAPI document state a setting as a bound; ``service.app`` fills in the value.

    The schema does not check it: a text over its limit is a 413, and in a batch it fails alone.
    """
    return Field(json_schema_extra={LIMITED_BY: {bound: setting}})


LIMITED_ITEMS = _limited_by("maxItems", "max_items")

# JSON can spell half of a surrogate pair, which no encoding can write.
Text = Annotated[
    str,
    AfterValidator(_without_lone_surrogates),
    Field(description="A text that is not blank."),
    _limited_by("maxLength", "max_text_characters"),
]


class _Request(BaseModel):
    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    @model_validator(mode="before")
    @classmethod
    def _has_known_fields_alone(cls, value: Any) -> Any:
        """Refuse unknown fields in one error that quotes none of them, however many there are."""
        if isinstance(value, dict) and any(key not in cls.model_fields for key in value):
            raise PydanticCustomError(
                "extra_forbidden",
                "Unknown field; the known ones are {known}",
                {"known": ", ".join(cls.model_fields)},
            )
        return value


ModelName = Annotated[
    str,
    Field(
        max_length=256,
        description="A model by its name, or name and version; by default, the first one.",
        examples=["zh-general", "zh-general@2.1.0"],
    ),
]


class PredictRequest(_Request):
    """One text."""

    text: Text = Field(examples=["房间干净，服务也好，就是早餐太差"])
    model: ModelName | None = None


class BatchItem(_Request):
    """One text of a batch and the client's name for it."""

    id: Annotated[str, AfterValidator(_without_lone_surrogates), Field(max_length=128)] | None = (
        Field(default=None, description="Returned with the result.")
    )
    text: Text = Field(examples=["很好吃"])


class InvalidItem(BaseModel):
    """An item that does not fit the schema; its result is an error."""

    id: str | None
    errors: list[FieldError]


def _keep_invalid(value: Any, validate: ValidatorFunctionWrapHandler) -> BatchItem | InvalidItem:
    try:
        item: BatchItem = validate(value)
    except ValidationError as error:
        identifier = value.get("id") if isinstance(value, dict) else None
        try:
            known = BatchItem(id=identifier, text="").id
        except ValidationError:
            known = None
        return InvalidItem(id=known, errors=field_errors(error.errors()))
    return item


# One bad item must not fail the rest, so its errors are kept as a value.
CheckedItem = Annotated[BatchItem, WrapValidator(_keep_invalid)]


class BatchRequest(_Request):
    """Several texts, answered in their order."""

    # A bound on the items that are parsed; the setting that clients see is not above it.
    items: Annotated[
        list[CheckedItem], Field(min_length=1, max_length=MAX_BATCH_ITEMS), LIMITED_ITEMS
    ]
    model: ModelName | None = None


def by_label(values: Sequence[float]) -> dict[str, float]:
    """Return values that are in the order of the labels by their labels, rounded."""
    return {label: round(value, 6) for label, value in zip(LABELS, values, strict=True)}


class Probabilities(BaseModel):
    """Calibrated probabilities; they sum to 1."""

    positive: Probability
    neutral: Probability
    negative: Probability

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return them from values in the order of the labels."""
        return cls(**by_label(values))


class TextFacts(BaseModel):
    """What was read of a text, and how much of it was unknown."""

    characters: int = Field(description="Code points of the text.")
    tokens: int = Field(description="Tokens read, without stopwords.")
    unknown: int = Field(
        description="Tokens that the vocabulary lacks, read character by character."
    )
    windows: int = Field(description="Parts that a long text was read in; nothing is cut off.")


class ModelVersion(BaseModel):
    """Which model answered."""

    name: str
    version: str
    digest: str = Field(description="SHA-256 of the artifact's manifest.")

    @classmethod
    def of(cls, artifact: Artifact) -> Self:
        """Return the name, version and digest of an artifact."""
        manifest = artifact.manifest
        return cls(name=manifest.name, version=manifest.version, digest=artifact.digest)


class LabelledText(BaseModel):
    """What the answers for a text and for a sentence share."""

    label: Label
    confidence: Probability = Field(description="The probability of the label.")
    probabilities: Probabilities
    uncertain: bool = Field(description="Whether a person should check the answer.")
    uncertain_because: list[Doubt] = Field(
        description="Why the answer is uncertain; empty if it is not. `low_confidence`: the "
        "confidence is below `uncertain_below` of `/v1/model`. `no_chinese`: the text has no "
        "Chinese word. `unknown_words`, besides one of these: at least half of the words are not "
        "in the vocabulary."
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
    id: str | None = None


class BatchSuccess(Sentiment, _ItemResult):
    """The answer for one item."""


class BatchFailure(_ItemResult):
    """Why one item has no answer."""

    error: Problem


class BatchResponse(BaseModel):
    """One result per item, in the order of the request."""

    results: list[BatchSuccess | BatchFailure]
    model: ModelVersion


class StreamSummary(BaseModel):
    """Counts of a stream's lines; blank lines do not count."""

    lines: int
    answered: int
    failed: int
    labels: dict[Label, int] = Field(description="Answered lines by label.")


class StreamEnd(BaseModel):
    """The last line of a stream."""

    summary: StreamSummary
    model: ModelVersion


class Limits(BaseModel):
    """The limits in force; docs/operations.md explains each of them."""

    max_text_characters: int
    max_items: int
    max_explained_units: int
    max_body_bytes: int
    upload_bytes: int = Field(validation_alias="max_inflight_body_bytes")
    batch_texts: int = Field(validation_alias="max_batch_texts")
    queue_texts: int = Field(validation_alias="max_queue_texts")
    queue_seconds: float = Field(validation_alias="max_queue_seconds")
    deadline_seconds: float
    stream_idle_seconds: float
    drain_seconds: float
    keep_alive_seconds: int
    rate_limit: str | None = Field(description="Maximum requests per API key and worker.")
    max_connections: int
    threads: int
    workers: int


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

    labels: list[Label]
    engine: str
    temperature: float
    uncertain_below: float
    window: int = Field(description="Ids that the network reads at once.")
    vocabulary: int
    stopwords: int
    metrics: dict[str, dict[str, float]]
    card: str = Field(description="The model card, in Markdown.")
    words: Words
    models: list[ModelVersion] = Field(description="Every model that a request may name.")
    limits: Limits


Status = Literal["loading", "ready", "saturated", "draining", "failed"]


class Health(BaseModel):
    """Whether the service takes requests, and why not."""

    status: Status
    detail: str
    model: ModelVersion | None = None


class Alive(BaseModel):
    """The process runs."""

    status: Literal["alive"] = "alive"
