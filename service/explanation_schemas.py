"""The wire format of ``/v1/analyze`` and ``/v1/explain``."""

from typing import Any, Self

from pydantic import BaseModel, Field

from model import Explanation, Prediction, Sentence
from model.explain import ExplainedUnit, Gates, UnitKind
from service.schemas import (
    LabelledText,
    ModelVersion,
    PredictResponse,
    Probabilities,
    Probability,
    Ratio,
    by_label,
    label_fields,
    sentiment_fields,
)


class SentenceSentiment(LabelledText):
    """The answer for a sentence, read by itself."""

    text: str = Field(description="The slice of the text that offset and length give.")
    offset: int = Field(description="In code points.")
    length: int = Field(description="In code points.")

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
    """The mean activation of each gate of one LSTM at a unit, from 0 (shut) to 1 (open)."""

    input: Ratio = Field(description="How much of the unit enters the memory.")
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

    forward: GateMeans = Field(description="Of the LSTM that reads forwards.")
    backward: GateMeans = Field(description="Of the LSTM that reads backwards.")


class BidirectionalRetention(BaseModel):
    """How much of what a unit wrote into each memory is left at the states that are pooled."""

    forward: Ratio = Field(description="Of the LSTM that reads forwards.")
    backward: Ratio = Field(description="Of the LSTM that reads backwards.")


class Attribution(BaseModel):
    """The log-odds, log(p / (1 - p)), of each label with the unit less those without it."""

    positive: float = Field(description="Above 0 if the unit speaks for positive.")
    neutral: float = Field(description="Above 0 if the unit speaks for neutral.")
    negative: float = Field(description="Above 0 if the unit speaks for negative.")


class _UnitExplanation(BaseModel):
    text: str = Field(description="The slice of the text that offset and length give.")
    offset: int = Field(description="In code points; tokens of one code point share it.")
    length: int = Field(description="In code points.")
    dropped: bool = Field(description="Stopwords alone, which the network never sees.")
    punctuation: bool = Field(description="Punctuation marks alone.")
    contribution: Attribution
    without: Probabilities = Field(
        description="The probabilities of the text when this is left out of it."
    )
    gates: BidirectionalGates | None = Field(description="Null where dropped.")
    retained: BidirectionalRetention | None = Field(description="Null where dropped.")

    @classmethod
    def _of(cls, text: str, unit: ExplainedUnit, **own: Any) -> Self:
        """Return the explanation of a unit of ``text``; ``own`` are the fields of its kind."""
        gates = retained = None
        if unit.activations:
            gates = BidirectionalGates(
                forward=GateMeans.of(unit.activations.forward),
                backward=GateMeans.of(unit.activations.backward),
            )
            retained = BidirectionalRetention(
                forward=round(unit.activations.retention.forward, 4),
                backward=round(unit.activations.retention.backward, 4),
            )
        return cls(
            text=text[unit.offset : unit.offset + unit.length],
            offset=unit.offset,
            length=unit.length,
            dropped=unit.dropped,
            punctuation=unit.punctuation,
            contribution=Attribution(**by_label(unit.attribution)),
            without=Probabilities.of(unit.without),
            gates=gates,
            retained=retained,
            **own,
        )


class TokenExplanation(_UnitExplanation):
    """A token, and what it did."""

    normalized: str = Field(description="The form that was looked up in the vocabulary.")
    unknown: bool = Field(description="Read, though the vocabulary lacks it.")

    @classmethod
    def of(cls, text: str, unit: ExplainedUnit) -> Self:
        """Return the explanation of a token of ``text``."""
        return cls._of(text, unit, normalized=unit.normalized, unknown=bool(unit.unknown))


class ClauseExplanation(_UnitExplanation):
    """A clause of a text of many tokens, and what it did."""

    unknown_words: list[str] = Field(
        description="The words in it that are read though the vocabulary lacks them."
    )

    @classmethod
    def of(cls, text: str, unit: ExplainedUnit) -> Self:
        """Return the explanation of a clause of ``text``."""
        unknown = [text[token.offset : token.offset + token.length] for token in unit.unknown]
        return cls._of(text, unit, unknown_words=unknown)


class Float32Answer(BaseModel):
    """What the weights say in float32, where the gates come from."""

    probabilities: Probabilities
    difference: Probability = Field(
        description="The largest difference from a probability of the engine that answered."
    )


class ExplainResponse(PredictResponse):
    """The answer for a text, as from ``/v1/predict``, and why."""

    unit: UnitKind = Field(
        description="What was left out in turn: tokens or, if the text has more than "
        "`max_explained_units` of them, clauses."
    )
    tokens: list[TokenExplanation] = Field(
        description="In order; what is between two of them is not read. Empty if clauses were "
        "left out."
    )
    clauses: list[ClauseExplanation] = Field(description="In order. Empty if tokens were left out.")
    reference: Float32Answer

    @classmethod
    def of(cls, text: str, explanation: Explanation, model: ModelVersion) -> Self:
        """Return the explanation of ``text`` by a model."""
        units, by_token = explanation.units, explanation.unit == "token"
        served, exact = explanation.prediction.probabilities, explanation.float32_probabilities
        return cls(
            **sentiment_fields(explanation.prediction),
            model=model,
            unit=explanation.unit,
            tokens=[TokenExplanation.of(text, unit) for unit in units if by_token],
            clauses=[ClauseExplanation.of(text, unit) for unit in units if not by_token],
            reference=Float32Answer(
                probabilities=Probabilities.of(exact),
                difference=round(max(abs(a - b) for a, b in zip(served, exact, strict=True)), 6),
            ),
        )
