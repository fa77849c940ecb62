"""The errors of serving. Each class has its HTTP status and the reason that it is counted as.

    ServiceError
    ├── InvalidHeadersError           400
    ├── UnreadableBodyError           400
    ├── ApiKeyError                   401
    │   ├── MissingApiKeyError
    │   └── InvalidApiKeyError
    ├── ForeignOriginError            403
    ├── UnknownPathError              404
    ├── UnknownModelError             404
    ├── MethodNotAllowedError         405
    ├── SlowBodyError                 408
    ├── BodyLimitError                413
    ├── UnsupportedMediaTypeError     415
    ├── MisdirectedRequestError       421
    ├── InvalidBodyError              422
    │   └── TooManyItemsError
    ├── RateLimitError                429
    ├── QueueFullError                429
    ├── InflightBodiesFullError       429
    ├── InternalError                 500
    ├── NotReadyError                 503
    └── DeadlineError                 504

What is wrong with a single text is a ``model.errors.TextError``, which has the same two attributes.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import ClassVar, Final

from model import TextError

# A client that went away: no client sees this status, web servers log and count it by this number.
CLIENT_GONE: Final = 499
CLIENT_GONE_REASON: Final = "client_gone"


class ServiceError(Exception):
    """Base of the errors of serving; the detail is fit for the client."""

    status: ClassVar = HTTPStatus.INTERNAL_SERVER_ERROR
    reason: ClassVar = "failed"
    # On every response to an error of this class.
    fixed_headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None) -> None:
        """``headers`` are those of the response beside ``fixed_headers``."""
        super().__init__(detail)
        self.detail = detail
        self.headers = {**self.fixed_headers, **(headers or {})}


class InvalidHeadersError(ServiceError):
    """The headers of a request can be read in more than one way, or lack a required one."""

    status = HTTPStatus.BAD_REQUEST
    reason = "unreadable"


class UnreadableBodyError(ServiceError):
    """The body is not in the format that the route reads."""

    status = HTTPStatus.BAD_REQUEST
    reason = "unreadable"


class ApiKeyError(ServiceError):
    """Base of the errors about the API key of a request."""

    status = HTTPStatus.UNAUTHORIZED
    reason = "unauthorized"


class MissingApiKeyError(ApiKeyError):
    """The request has no API key, where one is required."""

    fixed_headers: ClassVar = {"www-authenticate": "Bearer"}


class InvalidApiKeyError(ApiKeyError):
    """The request has an API key that is unknown or has expired."""

    fixed_headers: ClassVar = {"www-authenticate": 'Bearer error="invalid_token"'}  # RFC 6750


class ForeignOriginError(ServiceError):
    """The request was sent by a page of an origin that is not allowed to."""

    status = HTTPStatus.FORBIDDEN
    reason = "foreign_origin"


class UnknownPathError(ServiceError):
    """No route has this path."""

    status = HTTPStatus.NOT_FOUND
    reason = "unknown_path"

    def __init__(self, detail: str = "there is nothing at this path") -> None:
        super().__init__(detail)


class UnknownModelError(ServiceError):
    """The request names a model that is not served."""

    status = HTTPStatus.NOT_FOUND
    reason = "unknown_model"


class MethodNotAllowedError(ServiceError):
    """The path has routes, but none for this method."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    reason = "method_not_allowed"

    def __init__(self, allow: str) -> None:
        """``allow`` is the header of this name."""
        instead = "GET" if "GET" in allow else "POST with the text in its body"
        super().__init__(f"this path does not take that method; send a {instead}", {"allow": allow})


class SlowBodyError(ServiceError):
    """The body did not arrive within the deadline."""

    status = HTTPStatus.REQUEST_TIMEOUT
    reason = "slow_body"
    # The rest of the body would be read as the next request.
    fixed_headers: ClassVar = {"connection": "close"}


class BodyLimitError(ServiceError):
    """The request body is larger than the limit in force."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    reason = "too_large"


class UnsupportedMediaTypeError(ServiceError):
    """The body is declared as something that the route does not read."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    reason = "media_type"


class MisdirectedRequestError(ServiceError):
    """The request is for another host."""

    status = HTTPStatus.MISDIRECTED_REQUEST
    reason = "misdirected"


class InvalidBodyError(ServiceError):
    """The body or a parameter does not fit its schema."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    reason = "invalid"


class TooManyItemsError(InvalidBodyError):
    """A batch has more items than the limit in force."""


class RateLimitError(ServiceError):
    """An API key has made as many requests as it may for now."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    reason = "rate_limited"


QUEUE_FULL: Final = "too many texts are waiting; try again in a moment"


class QueueFullError(ServiceError):
    """The queue has no room for the texts of this request."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    reason = "queue_full"
    fixed_headers: ClassVar = {"retry-after": "1"}


class InflightBodiesFullError(ServiceError):
    """In-flight request bodies would exceed their limit."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    reason = "inflight_bodies_full"
    fixed_headers: ClassVar = {"retry-after": "1"}


class InternalError(ServiceError):
    """The service failed in a way that it does not expect; the client learns no more than that."""

    def __init__(self) -> None:
        super().__init__("the service failed; its log says why")


class NotReadyError(ServiceError):
    """The model is loading or could not be loaded, or a probe asks while the service drains."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    reason = "not_ready"
    fixed_headers: ClassVar = {"retry-after": "1"}


class DeadlineError(ServiceError):
    """The answer was not ready within the deadline."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    reason = "deadline"


def refusal_reasons() -> frozenset[str]:
    """Return every reason that a request to the model may be refused for."""
    return frozenset({CLIENT_GONE_REASON, *_reasons(ServiceError), *_reasons(TextError)})


def _reasons(kind: type[ServiceError] | type[TextError]) -> Iterator[str]:
    yield kind.reason
    for subclass in kind.__subclasses__():
        yield from _reasons(subclass)
