"""What a request to the model must pass before its body is parsed."""

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from service.errors import UnreadableBodyError, UnsupportedMediaTypeError
from service.state import get_service

_JSON = re.compile(
    r"application/(?:[\w.+-]+\+)?json\s*(?:;\s*charset=\"?utf-?8\"?\s*)?", re.IGNORECASE
)


class AdmittedJsonRoute(APIRoute):
    """A route that refuses early: no model, a full queue, or a body that is no JSON in UTF-8."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See ``APIRoute.get_route_handler``."""
        handler = super().get_route_handler()

        async def admitted(request: Request) -> Response:
            get_service(request).ready_model().batcher.check_room()
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
            return await handler(request)

        return admitted
