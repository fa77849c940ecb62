"""What became of texts that were handed to the engine."""

from dataclasses import dataclass

from model import Prediction, TextError

# Of one text: a text that cannot be classified fails alone.
Outcome = Prediction | TextError

STAGES = ("encode", "queue", "infer")


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """The outcomes of the texts of one request, in order, and the seconds that each stage took.

    ``encode_seconds`` is turning text into ids, ``queue_seconds`` the wait for the first run of
    the engine, ``infer_seconds`` the time from there to the end of the last.
    """

    outcomes: list[Outcome]
    encode_seconds: float
    queue_seconds: float
    infer_seconds: float

    def stages(self) -> dict[str, float]:
        """Return the seconds of each stage, by its name."""
        seconds = (self.encode_seconds, self.queue_seconds, self.infer_seconds)
        return dict(zip(STAGES, seconds, strict=True))


def prediction_of(outcome: Outcome) -> Prediction:
    """Return the prediction for a text.

    Raises:
        TextError: the text could not be classified.
    """
    if isinstance(outcome, TextError):
        raise outcome
    return outcome
