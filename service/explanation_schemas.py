"""The wire format of ``/v1/analyze`` and ``/v1/explain``."""

from typing import Annotated, Self

from pydantic import BaseModel, Field

from model import Explanation, Label, Prediction, Sentence
from model.explain import ExplainedToken, Gates
from service.schemas import (
    ModelVersion,
    PredictResponse,
    Probabilities,
    Probability,
    Ratio,
    by_label,
    label_fields,
    sentiment_fields,
)

Difference = Annotated[float, Field(ge=-1, le=1)]


class SentenceSentiment(BaseModel):
    """The answer for a sentence, read by itself."""

    text: str = Field(description="The slice of the text that offset and length give.")
    offset: int = Field(description="In code points.")
    length: int = Field(description="In code points.")
    label: Label
    confidence: Probability
    probabilities: Probabilities
    uncertain: bool

    @classmethod
    def of(cls, text: str, sentence: Sentence, prediction: Prediction) -> Self:
        """Return the answer for a sentence of ``text``."""
        offset, length = sentence
        return cls(
            text=text[offset : offset + length],
            offset=offset,
            length=length,
            **label_fields(prediction),
        )


class AnalyzeResponse(PredictResponse):
    """The answer for a text, as from ``/v1/predict``, and for each of its sentences."""

    sentences: list[SentenceSentiment] = Field(
        description="In order; between two of them there is nothing to read."
    )


class GateMeans(BaseModel):
    """The mean activation of each gate of one LSTM at a token, from 0 (shut) to 1 (open)."""

    input: Ratio = Field(description="How much of the token enters the memory.")
    forget: Ratio = Field(description="How much of the memory stays.")
    output: Ratio = Field(description="How much of the memory shows.")

    @classmethod
    def of(cls, gates: Gates) -> Self:
        """Return them rounded."""
        return cls(
            input=round(gates.input, 4),
            forget=round(gates.forget, 4),
            output=round(gates.output, 4),
        )


class BidirectionalGates(BaseModel):
    """The gates of the LSTM that reads forwards and of the one that reads backwards."""

    forward: GateMeans
    backward: GateMeans


class BidirectionalRetention(BaseModel):
    """How much of what a token wrote into each memory is left at the states that are pooled."""

    forward: Ratio
    backward: Ratio


class Attribution(BaseModel):
    """A label's probability with the token less that without it; they sum to 0."""

    positive: Difference
    neutral: Difference
    negative: Difference


class TokenExplanation(BaseModel):
    """A token, and what it did."""

    text: str = Field(description="The slice of the text that offset and length give.")
    offset: int = Field(description="In code points; tokens of one code point share it.")
    length: int = Field(description="In code points.")
    normalized: str = Field(description="The form that was looked up in the vocabulary.")
    dropped: bool = Field(description="A stopword, which the network never sees.")
    unknown: bool = Field(description="Read, though the vocabulary lacks it.")
    gates: BidirectionalGates | None = Field(description="Null for a dropped token.")
    retained: BidirectionalRetention | None = Field(description="Null for a dropped token.")
    contribution: Attribution

    @classmethod
    def of(cls, text: str, explained: ExplainedToken) -> Self:
        """Return the explanation of a token of ``text``."""
        token, activations = explained.token, explained.activations
        gates = retained = None
        if activations:
            gates = BidirectionalGates(
                forward=GateMeans.of(activations.forward),
                backward=GateMeans.of(activations.backward),
            )
            retained = BidirectionalRetention(
                forward=round(activations.retention.forward, 4),
                backward=round(activations.retention.backward, 4),
            )
        return cls(
            text=text[token.offset : token.offset + token.length],
            offset=token.offset,
            length=token.length,
            normalized=token.normalized,
            dropped=token.dropped,
            unknown=explained.unknown,
            gates=gates,
            retained=retained,
            contribution=Attribution(**by_label(explained.attribution)),
        )


class Float32Answer(BaseModel):
    """What the weights say in float32, where the gates come from."""

    probabilities: Probabilities
    difference: Probability = Field(
        description="The largest difference from a probability of the engine that answered."
    )


class ExplainResponse(PredictResponse):
    """The answer for a text, as from ``/v1/predict``, and why."""

    tokens: list[TokenExplanation]
    reference: Float32Answer

    @classmethod
    def of(cls, text: str, explanation: Explanation, model: ModelVersion) -> Self:
        """Return the explanation of ``text`` by a model."""
        served, exact = explanation.prediction.probabilities, explanation.float32_probabilities
        return cls(
            **sentiment_fields(explanation.prediction),
            model=model,
            tokens=[TokenExplanation.of(text, explained) for explained in explanation.tokens],
            reference=Float32Answer(
                probabilities=Probabilities.of(exact),
                difference=round(max(abs(a - b) for a, b in zip(served, exact, strict=True)), 6),
            ),
        )
