"""Explanations of texts, beside the requests that the engine serves."""

import asyncio
from collections.abc import Sequence
from functools import cached_property, partial

from model.classifier import Classifier, Prediction
from model.explain import (
    TRACED_TOGETHER,
    Explanation,
    OcclusionPlan,
    WindowActivations,
    batched,
    trace_windows,
)
from model.traced_network import TracedNetwork
from service.inference.admission import ANYBODY
from service.inference.batcher import Batcher
from service.outcome import BatchOutcome, prediction_of
from service.settings import Settings


class Explainer:
    """Classifies a text and explains its label, through the batcher that serves the model."""

    def __init__(self, classifier: Classifier, batcher: Batcher, settings: Settings) -> None:
        self._classifier = classifier
        self._batcher = batcher
        self._loop = asyncio.get_running_loop()
        self._max_units = min(settings.max_explained_units, settings.max_queue_texts)

    async def explain(self, text: str, client: str = ANYBODY) -> tuple[BatchOutcome, Explanation]:
        """Return the outcome of a text, as ``Batcher.submit`` does, and why, by one deadline.

        Each of its units is occluded once; these readings are bulk work.

        Raises:
            BlankTextError: it leaves nothing to read.
            TextLimitError: the text is over its limit.
            QueueFullError: the queue has no room for it, or it takes too long to read.
            DeadlineError: the outcome and the explanation took too long.
        """
        batcher = self._batcher
        async with batcher.admitted(client, 1) as deadline:
            outcome = await batcher.classify([text], client, deadline)
            prediction = prediction_of(outcome.outcomes[0])
            plan = await batcher.encoding.run(
                client,
                partial(OcclusionPlan, self._classifier, text, prediction, self._max_units),
            )
            ids = sum(map(len, plan.windows))
            batcher.admission.check_time(client, ids, deadline - self._loop.time(), bulk=True)
            tracing = asyncio.create_task(self._trace(prediction, client))
            try:
                occluded = await batcher.run(plan.windows, client, bulk=True)
                return outcome, plan.attribute(await tracing, occluded.probabilities)
            finally:
                tracing.cancel()

    async def _trace(self, prediction: Prediction, client: str) -> list[WindowActivations]:
        # A few windows are a turn in the encoding thread, so that others' texts come in between.
        return [
            activations
            for windows in batched(prediction.encoding.windows, TRACED_TOGETHER)
            for activations in await self._batcher.encoding.run(
                client, partial(self._trace_windows, windows)
            )
        ]

    def _trace_windows(self, windows: Sequence[Sequence[int]]) -> list[WindowActivations]:
        return trace_windows(self._network, windows)

    @cached_property
    def _network(self) -> TracedNetwork:
        # Tens of megabytes, for those alone who ask for explanations. The encoding thread alone
        # asks for it, so that it is made once.
        return TracedNetwork(self._classifier.artifact.weights)
