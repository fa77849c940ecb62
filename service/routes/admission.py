"""What a request to the model must pass before its body is parsed, and its client's leaving."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from service.errors import CLIENT_GONE, UnreadableBodyError, UnsupportedMediaTypeError

_JSON = re.compile(
    r"application/(?:[\w.+-]+\+)?json\s*(?:;\s*charset=\"?utf-?8\"?\s*)?", re.IGNORECASE
)


class AdmittedJsonRoute(APIRoute):
    """A route for texts: refuses what is no JSON in UTF-8, and stops when its client goes away."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See ``APIRoute.get_route_handler``."""
        handler = super().get_route_handler()

        async def admitted(request: Request) -> Response:
            if not _JSON.fullmatch(request.headers.get("content-type", "")):
                raise UnsupportedMediaTypeError(
                    "send the body as content-type application/json, in UTF-8"
                )
            if request.headers.get("content-encoding", "identity").lower() != "identity":
                raise UnsupportedMediaTypeError("send the body without a content-encoding")
            try:
                # json would guess UTF-16 and UTF-32 from the first bytes.
                (await request.body()).decode()
            except UnicodeDecodeError:
                raise UnreadableBodyError("the body is not UTF-8") from None
            return await _while_connected(request, handler(request))

        return admitted


async def _while_connected(request: Request, answering: Coroutine[Any, Any, Response]) -> Response:
    """The answer; a client that goes away cancels it, which frees its place in the queue."""
    answer = asyncio.ensure_future(answering)
    # The body has been read: the next thing to receive is that the client is gone.
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        await asyncio.wait({answer})
        return Response(status_code=CLIENT_GONE)  # which nobody will read but the log
    finally:
        answer.cancel()
        gone.cancel()
