"""``/v1/analyze`` and ``/v1/explain``: a text, sentence by sentence and token by token."""

from dataclasses import replace

from fastapi import APIRouter, Request, Response

from model.errors import BlankTextError, TextLimitError
from model.text.sentences import split_sentences
from service.exchange import exchange_of
from service.explanation_schemas import AnalyzeResponse, ExplainResponse, SentenceSentiment
from service.inference.outcome import prediction_of
from service.routes.model_route import PROBLEMS, JsonModelRoute
from service.routes.report import report
from service.schemas import PredictRequest, sentiment_fields
from service.state import service_of

router = APIRouter(prefix="/v1", tags=["explanation"], route_class=JsonModelRoute)


@router.post("/analyze", responses=PROBLEMS)
async def analyze(body: PredictRequest, request: Request, response: Response) -> AnalyzeResponse:
    """Whether a text is positive, neutral or negative, and each of its sentences.

    The text is read as a whole, as by `/v1/predict`, and each sentence alone: the label of the
    text is no vote of its sentences, since what one says may turn round what another does.
    """
    service = service_of(request)
    model = service.ready_model(body.model)
    text = body.text
    settings = service.settings
    # A text over its limit is refused as it is everywhere, without looking for sentences.
    sentences = split_sentences(text) if len(text) <= settings.max_text_characters else []
    if len(sentences) > settings.max_items:
        raise TextLimitError(
            f"the text has {len(sentences)} sentences; the limit is {settings.max_items}"
        )
    parts = [text[offset : offset + length] for offset, length in sentences]
    answer = await model.batcher.submit([text, *parts], exchange_of(request).client)
    # Only the text counts: sentences would tell twice what it says.
    whole = replace(answer, outcomes=answer.outcomes[:1])
    report(whole, model, request, response)
    of_text, *of_sentences = answer.outcomes
    return AnalyzeResponse(
        **sentiment_fields(prediction_of(of_text)),
        model=model.reference,
        sentences=[
            SentenceSentiment.of(text, sentence, prediction_of(outcome))
            for sentence, outcome in zip(sentences, of_sentences, strict=True)
            # A line may hold markup alone.
            if not isinstance(outcome, BlankTextError)
        ],
    )


@router.post("/explain", responses=PROBLEMS)
async def explain(body: PredictRequest, request: Request, response: Response) -> ExplainResponse:
    """Why: what each gate did at each token, and what each token adds to each label."""
    model = service_of(request).ready_model(body.model)
    answer, explanation = await model.batcher.explain(body.text, exchange_of(request).client)
    report(answer, model, request, response)
    return ExplainResponse.of(body.text, explanation, model.reference)
