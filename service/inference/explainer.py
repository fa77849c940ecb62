"""Explanations of texts, beside the requests that the engine serves."""

import asyncio
from functools import cached_property

from model.classifier import Classifier, Prediction
from model.explain import Explanation, OcclusionPlan, plan_occlusions
from model.traced_network import TracedNetwork, WindowTrace
from service.inference.admission import ANYBODY
from service.inference.batcher import Batcher
from service.inference.outcome import BatchOutcome, prediction_of
from service.settings import Settings


class Explainer:
    """Classifies a text and explains its label, through the batcher that serves the model."""

    def __init__(self, classifier: Classifier, batcher: Batcher, settings: Settings) -> None:
        self._classifier = classifier
        self._batcher = batcher
        self._loop = asyncio.get_running_loop()
        self._max_tokens = min(settings.max_explained_tokens, settings.max_queue_texts)

    async def explain(self, text: str, client: str = ANYBODY) -> tuple[BatchOutcome, Explanation]:
        """Return the outcome of a text, as ``Batcher.submit`` does, and why, by one deadline.

        Each token is occluded once; these readings are bulk work.

        Raises:
            BlankTextError: it leaves nothing to read.
            TextLimitError: the text, or what its tokens are read as, is over its limit.
            QueueFullError: the queue has no room for it, or it takes too long to read.
            DeadlineError: the outcome and the explanation took too long.
        """
        batcher = self._batcher
        async with batcher.admitted(client, 1) as deadline:
            outcome = await batcher.classify([text], client, deadline)
            prediction = prediction_of(outcome.outcomes[0])
            plan, network = await batcher.encoding.run(
                client, lambda: (self._plan(text, prediction), self._network)
            )
            ids = sum(map(len, plan.windows))
            batcher.admission.check_time(client, ids, deadline - self._loop.time(), bulk=True)
            tracing = asyncio.create_task(
                batcher.encoding.run(client, lambda: _traces(network, prediction))
            )
            try:
                occluded = await batcher.run(plan.windows, client, bulk=True)
                return outcome, plan.attribute(await tracing, occluded.probabilities)
            finally:
                tracing.cancel()

    def _plan(self, text: str, prediction: Prediction) -> OcclusionPlan:
        return plan_occlusions(self._classifier, text, prediction, self._max_tokens)

    @cached_property
    def _network(self) -> TracedNetwork:
        # Tens of megabytes, for those alone who ask for explanations. The encoding thread alone
        # asks for it, so that it is made once.
        return TracedNetwork(self._classifier.artifact.weights)


def _traces(network: TracedNetwork, prediction: Prediction) -> list[WindowTrace]:
    return [network.trace(ids) for ids in prediction.encoding.windows]
