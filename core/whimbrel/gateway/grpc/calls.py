"""What every gRPC method shares: who calls, and how errors become status codes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any, NoReturn, TypeVar

import grpc
import structlog

from whimbrel import errors
from whimbrel.broker.identity import Identity
from whimbrel.model import Caller
from whimbrel.store import RevisionConflict

Request = TypeVar("Request")
Response = TypeVar("Response")
Context = grpc.aio.ServicerContext[Any, Any]

BEARER = "bearer "
INTERNAL = grpc.StatusCode.INTERNAL

STATUS: tuple[tuple[type[errors.WhimbrelError], grpc.StatusCode], ...] = (
    (errors.LimitExceeded, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.InvalidInput, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (errors.PermissionDenied, grpc.StatusCode.PERMISSION_DENIED),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.Unavailable, grpc.StatusCode.UNAVAILABLE),
    (errors.Corrupt, grpc.StatusCode.DATA_LOSS),
)

log = structlog.get_logger(__name__)


def caller_of(identity: Identity, context: Context) -> Caller:
    """Return who calls, from `authorization: Bearer TOKEN` or `st2-api-key`; else Unauthenticated."""
    metadata = {name.lower(): value for name, value in context.invocation_metadata() or ()}
    authorization = str(metadata.get("authorization", ""))
    if authorization.lower().startswith(BEARER):
        return identity.authenticate(token=authorization[len(BEARER) :])
    if key := metadata.get("st2-api-key"):
        return identity.authenticate(api_key=str(key))
    raise errors.Unauthenticated("Unauthorized - One of Token or API key required.")


async def refuse(context: Context, error: errors.WhimbrelError) -> NoReturn:
    """End the call with the status that fits the error; its text is the message."""
    await context.abort(_code(error), str(error))
    raise AssertionError("abort raises")


def _code(error: errors.WhimbrelError) -> grpc.StatusCode:
    if isinstance(error, RevisionConflict):
        return grpc.StatusCode.ABORTED
    if isinstance(error, errors.Conflict):
        taken = grpc.StatusCode.ALREADY_EXISTS
        return taken if error.conflict_id else grpc.StatusCode.FAILED_PRECONDITION
    return next((code for kind, code in STATUS if isinstance(error, kind)), INTERNAL)


async def _fail(context: Context, method: str) -> NoReturn:
    """End a call that failed for a reason of our own: the reason is in the log, not in the answer."""
    log.exception("a gRPC call failed", method=method)
    await context.abort(INTERNAL, "Internal error; the broker's log has the reason")
    raise AssertionError("abort raises")


def unary(
    method: Callable[[Any, Request, Caller], Awaitable[Response]],
) -> Callable[[Any, Request, Context], Awaitable[Response]]:
    """Make a method that takes a caller into one that gRPC can call."""

    @wraps(method)
    async def call(self: Any, request: Request, context: Context) -> Response:
        try:
            return await method(self, request, caller_of(self.identity, context))
        except errors.WhimbrelError as error:
            await refuse(context, error)
        except Exception:  # noqa: BLE001  the door: logged with its traceback, answered as INTERNAL
            await _fail(context, method.__qualname__)

    return call


def streaming(
    method: Callable[[Any, Request, Caller], AsyncIterator[Response]],
) -> Callable[[Any, Request, Context], AsyncIterator[Response]]:
    """The same for a method whose answer is a stream."""

    @wraps(method)
    async def call(self: Any, request: Request, context: Context) -> AsyncIterator[Response]:
        try:
            async for response in method(self, request, caller_of(self.identity, context)):
                yield response
        except errors.WhimbrelError as error:
            await refuse(context, error)
        except Exception:  # noqa: BLE001  the door: logged with its traceback, answered as INTERNAL
            await _fail(context, method.__qualname__)

    return call
