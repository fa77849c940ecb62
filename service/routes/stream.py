"""``/v1/predict/stream``: as many texts as a client has, a line each, in constant memory."""

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, TypeAdapter, WithJsonSchema
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from model import LABELS
from model.lines import LineError, LineSplitter, parse_json
from service.errors import InternalError
from service.exchange import exchange_of
from service.model_registry import LoadedModel
from service.problems import Problem, problem, problem_of, responses
from service.request_schemas import BatchItem, CheckedItem, InvalidItem, ModelName
from service.routes.model_route import check_media_type
from service.routes.results import invalid_result, item_result
from service.schemas import (
    BatchFailure,
    BatchSuccess,
    LabelCounts,
    StreamEnd,
    StreamFailure,
    StreamSummary,
)
from service.state import Service, service_of

logger = logging.getLogger(__name__)

PATH = "/v1/predict/stream"
MEDIA_TYPES = ("application/x-ndjson", "application/jsonl", "application/jsonlines")
MAX_LINE_BYTES = 64 * 1024

# Lines that are answered together: so many, or the fewest that make up so many bytes.
_CHUNK_LINES = 64
_CHUNK_BYTES = 64 * 1024
# Chunks of a stream in flight, from being read to being sent.
_CHUNKS = 8
# Bytes of a body that are held at once: a line may end a chunk that was almost full.
MAX_BYTES_HELD = _CHUNKS * (_CHUNK_BYTES + MAX_LINE_BYTES)
# After a stream is broken off, input is discarded for this long before closing: closing
# on it would reset the connection, perhaps before its client has read the end.
_LINGER_SECONDS = 1.0

_MEDIA_TYPE = re.compile("|".join(MEDIA_TYPES), re.IGNORECASE)
# Documented as everywhere, but any name that is too long is as unknown as another: a 404.
_AnyModelName = Annotated[str, WithJsonSchema(TypeAdapter(ModelName).json_schema())]
_ITEM: TypeAdapter[BatchItem | InvalidItem] = TypeAdapter(CheckedItem)

router = APIRouter(tags=["prediction"])


class _Line(NamedTuple):
    """A line of a stream, with its number from 1, and what it is or why it is nothing."""

    number: int
    item: BatchItem | BatchFailure


class StreamResponse(JSONResponse):  # to the API document: its lines have a schema
    """Answers the lines of a body while they come.

    One task reads lines, in chunks, and has each answered by a task of its own; another sends the
    answers in order. With ``_CHUNKS`` in flight nothing more is read, and the client has to wait:
    for the engine, or for itself to read.
    """

    media_type = MEDIA_TYPES[0]

    def __init__(self, service: Service, model: LoadedModel, client: str) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"connection": "close"})  # where a stream breaks off, the rest follows
        self._service = service
        self._model = model
        self._client = client
        self._places = asyncio.Semaphore(_CHUNKS)
        self._in_flight: asyncio.Queue[asyncio.Task[str] | None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[str]] = set()
        self._labels = Counter(dict.fromkeys(LABELS, 0))
        self._failed = 0
        self._broken_off: Problem | None = None
        self._gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification. A stream stays with the model that it began with."""
        with self._model.batcher.in_use():
            await self._stream(receive, send)

    async def _stream(self, receive: Receive, send: Send) -> None:
        reading = asyncio.create_task(self._read(receive))
        # A task that is cancelled before it starts never runs its finally clause.
        reading.add_done_callback(lambda _: self._in_flight.put_nowait(None))
        streams_ended = self._service.streams.ended
        if streams_ended.is_set():
            self._stop_reading(reading)
        ending = asyncio.create_task(streams_ended.wait())
        writing: asyncio.Task[None] | None = None
        try:
            # Let the reader call receive() first, so that a client waiting for 100 Continue gets
            # it before the response starts.
            await asyncio.sleep(0)
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            writing = asyncio.create_task(self._write(send))
            await asyncio.wait({reading, writing, ending}, return_when=asyncio.FIRST_COMPLETED)
            if ending.done() and not reading.done():
                self._stop_reading(reading)
            if self._gone:
                return
            await writing
            if self._broken_off:
                await _throw_away(receive)
            await send(_part(""))
        finally:
            for task in (reading, ending, writing, *self._tasks):
                if task:
                    task.cancel()

    def _stop_reading(self, reading: asyncio.Task[None]) -> None:
        detail = "the service is shutting down; send again the lines that have no answer"
        self._broken_off = problem(503, detail)
        reading.cancel()

    async def _read(self, receive: Receive) -> None:
        try:
            async for chunk in self._chunks(receive):
                await self._places.acquire()
                answering = asyncio.create_task(self._answer(chunk))
                self._tasks.add(answering)
                answering.add_done_callback(self._tasks.discard)
                self._in_flight.put_nowait(answering)
                # All streams together read a chunk per turn of the event loop. An error in a line
                # costs little to find, so that streams of nothing but errors would otherwise keep
                # requests waiting.
                async with self._service.streams.turn:
                    await asyncio.sleep(0)
        except ClientDisconnect:
            self._gone = True
        except TimeoutError:
            seconds = self._service.settings.stream_idle_seconds
            self._broken_off = problem(408, f"nothing came for {seconds:g} s")

    async def _chunks(self, receive: Receive) -> AsyncIterator[list[_Line]]:
        """Lines that have come together, and not more than are answered together."""
        settings = self._service.settings
        max_lines = min(_CHUNK_LINES, settings.max_queue_texts)
        lines = LineSplitter(MAX_LINE_BYTES)
        number = 0
        more = True
        while more:
            async with asyncio.timeout(settings.stream_idle_seconds):
                message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            more = message.get("more_body", False)
            chunk: list[_Line] = []
            size = 0
            for line in lines.split(message.get("body", b""), last=not more):
                number += 1
                if line is not None and not line.strip():
                    continue
                chunk.append(_Line(number, _parse(line)))
                size += len(line or b"")
                if len(chunk) == max_lines or size >= _CHUNK_BYTES:
                    yield chunk
                    chunk, size = [], 0
            if chunk:
                yield chunk

    async def _answer(self, chunk: list[_Line]) -> str:
        """The lines of an answer; whatever happens there is one for each."""
        texts = [line.item.text for line in chunk if isinstance(line.item, BatchItem)]
        started = time.perf_counter()
        try:
            answer = await self._model.batcher.submit_bulk(texts, self._client)
        except Exception:
            logger.exception("unexpected error")
            failed = problem_of(InternalError())
            return "".join(
                self._failure(line, failed if isinstance(line.item, BatchItem) else line.item.error)
                for line in chunk
            )
        by_default = self._service.models.is_default(self._model)
        self._service.metrics.observe_outcomes(answer, by_default=by_default)
        self._service.metrics.observe_chunk(time.perf_counter() - started)
        outcomes = iter(answer.outcomes)
        lines = []
        for line in chunk:
            item = line.item
            result = item_result(item, next(outcomes)) if isinstance(item, BatchItem) else item
            if isinstance(result, BatchFailure):
                lines.append(self._failure(line, result.error))
                continue
            self._labels[result.label] += 1
            lines.append(_json_line(result))
        return "".join(lines)

    def _failure(self, line: _Line, error: Problem) -> str:
        self._failed += 1
        return _json_line(StreamFailure(id=line.item.id, line=line.number, error=error))

    async def _write(self, send: Send) -> None:
        while answering := await self._in_flight.get():
            await send(_part(await answering, more=True))
            self._places.release()
            # Others come between; and whether the connection is lost shows only a turn later.
            await asyncio.sleep(0)
        answered = self._labels.total()
        summary = StreamSummary(
            lines=answered + self._failed,
            answered=answered,
            failed=self._failed,
            labels=LabelCounts.model_validate(self._labels),
        )
        end = _json_line(StreamEnd(summary=summary, model=self._model.version))
        if self._broken_off:
            end = _json_line(StreamFailure(error=self._broken_off)) + end
        await send(_part(end, more=True))


def _parse(line: bytes | None) -> BatchItem | BatchFailure:
    if line is None:
        detail = f"the line is longer than {MAX_LINE_BYTES} bytes"
        return BatchFailure(error=problem(413, detail))
    try:
        item = _ITEM.validate_python(parse_json(line))
    except LineError as error:
        return BatchFailure(error=problem(400, str(error)))
    return invalid_result(item, "the line") if isinstance(item, InvalidItem) else item


def _json_line(content: BaseModel) -> str:
    return f"{content.model_dump_json(exclude_none=True)}\n"


def _part(text: str, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": text.encode(), "more_body": more}


async def _throw_away(receive: Receive) -> None:
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            while (await receive()).get("more_body"):
                pass
    except TimeoutError:
        pass


@router.post(
    PATH,
    status_code=200,
    response_class=StreamResponse,
    responses={
        200: {
            "model": BatchSuccess | StreamFailure | StreamEnd,
            "description": "A line for each line, in order, and the summary last.",
        },
        **responses(401, 404, 415, 422, 429, 500, 503),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "JSON Lines, each of at most 64 KiB; `application/jsonl` and "
            "`application/jsonlines` are accepted too.",
            "content": {
                MEDIA_TYPES[0]: {
                    "schema": _ITEM.json_schema(ref_template="#/components/schemas/{model}")
                }
            },
        },
    },
)
async def predict_stream(
    request: Request, model: Annotated[_AnyModelName | None, Query()] = None
) -> Response:
    """Answer any number of texts, a line each, while they come.

    Each line gets its line, in order: an answer, or an error that does not affect the others. Blank
    lines get none. The last line is the summary. Read while you write: a client that sends
    everything before it reads waits forever once the body exceeds what the buffers in between hold,
    some thousand lines.
    """
    check_media_type(request, _MEDIA_TYPE, *MEDIA_TYPES)
    service = service_of(request)
    loaded = service.models.find(model)
    client = exchange_of(request).client
    loaded.batcher.admission.check_room(client)
    return StreamResponse(service, loaded, client)
