"""``/v1/analyze`` and ``/v1/explain``: a text by its sentences and by its parts."""

from dataclasses import replace

from fastapi import APIRouter, Request

from model import BlankTextError, TextLimitError, split_sentences
from service.exchange import exchange_of
from service.explanation_schemas import AnalyzeResponse, ExplainResponse, SentenceSentiment
from service.outcome import prediction_of
from service.request_schemas import PredictRequest
from service.routes.model_route import PROBLEMS, JsonModelRoute
from service.routes.report import report
from service.schemas import sentiment_fields
from service.state import service_of

router = APIRouter(prefix="/v1", tags=["explanation"], route_class=JsonModelRoute)


@router.post("/analyze", responses=PROBLEMS)
async def analyze(body: PredictRequest, request: Request) -> AnalyzeResponse:
    """Say whether a text is positive, neutral or negative, and each of its sentences.

    The text is read as a whole, as by `/v1/predict`, and each sentence by itself: the label of the
    text is not a vote of its sentences, since one sentence may reverse what another says.
    """
    service = service_of(request)
    model = service.models.find(body.model)
    text = body.text
    settings = service.settings
    # The batcher refuses a text over the limit; it is not split first.
    sentences = split_sentences(text) if len(text) <= settings.max_text_characters else []
    if len(sentences) > settings.max_items:
        raise TextLimitError(
            f"the text has {len(sentences)} sentences; the limit is {settings.max_items}"
        )
    parts = [text[offset : offset + length] for offset, length in sentences]
    answer = await model.batcher.submit([text, *parts], exchange_of(request).client)
    # Only the text is counted; its sentences would count it twice.
    whole = replace(answer, outcomes=answer.outcomes[:1])
    report(whole, model, request)
    of_text, *of_sentences = answer.outcomes
    return AnalyzeResponse(
        **sentiment_fields(prediction_of(of_text)),
        model=model.version,
        sentences=[
            SentenceSentiment.of(text, sentence, prediction_of(outcome))
            for sentence, outcome in zip(sentences, of_sentences, strict=True)
            # A sentence may be nothing but markup.
            if not isinstance(outcome, BlankTextError)
        ],
    )


@router.post("/explain", responses=PROBLEMS)
async def explain(body: PredictRequest, request: Request) -> ExplainResponse:
    """Say why: what each part of a text adds to each label, and what the gates did there.

    The parts are the tokens of the text or, if it has many, clauses; `unit` says which.
    """
    model = service_of(request).models.find(body.model)
    answer, explanation = await model.explainer.explain(body.text, exchange_of(request).client)
    report(answer, model, request)
    return ExplainResponse.of(body.text, explanation, model.version)
