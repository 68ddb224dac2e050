"""`/webhooks`: events from anything that can POST."""

from functools import lru_cache
from typing import Any

import msgspec

from whimbrel.errors import InvalidInput, NotFound
from whimbrel.gateway.convert import into
from whimbrel.gateway.endpoint import Endpoint, Headers, Reply, Request, described
from whimbrel.gateway.listing import document
from whimbrel.gateway.ports import BrokerPort
from whimbrel.model import Event

GENERIC = "st2"
TITLES_MAX = 512
"""Spellings of header names that are remembered."""

TRACE_TAG_HEADER = b"st2-trace-tag"
EVENT_ID_HEADER = b"idempotency-key"
"""The sender's name for the event: the same one again has no second effect."""


class _GenericBody(msgspec.Struct):
    trigger: str
    payload: Any = None
    trace: str | None = None


async def list_webhooks(broker: BrokerPort, request: Request) -> Reply:
    """Return the triggers of the webhooks that rules listen to."""
    return Reply([document(trigger) for trigger in broker.content.webhooks()])


async def get_webhook(broker: BrokerPort, request: Request) -> Reply:
    """Return the trigger of one webhook."""
    return Reply(document(broker.content.webhook(request.args["hook"])))


async def post_webhook(broker: BrokerPort, request: Request) -> Reply:
    """Accept an event; it is durable when this answers."""
    body = request.body
    if not isinstance(body, dict | list):
        raise InvalidInput("the body of a webhook has to be a JSON object or array, or a form")
    hook = request.args["hook"].strip("/")
    trace_tag = request.header(TRACE_TAG_HEADER)
    event_id = request.header(EVENT_ID_HEADER)
    if hook == GENERIC:
        await _post_generic(broker, body, trace_tag, event_id)
    else:
        await broker.events.webhook(
            hook,
            body=body,
            headers=titled(request.headers),
            trace_tag=trace_tag,
            event_id=event_id,
        )
    return Reply(body)


async def _post_generic(broker: BrokerPort, body: Any, trace_tag: str, event_id: str) -> None:
    """Dispatch the trigger that the body names."""
    given = into(_GenericBody, body)
    event = Event(
        trigger=given.trigger,
        payload={} if given.payload is None else given.payload,
        event_id=event_id,
        source="webhook",
        trace_tag=trace_tag or given.trace or "",
    )
    try:
        await broker.events.ingest(event)
    except NotFound as error:
        raise InvalidInput(str(error), place="/trigger") from error


def titled(headers: Headers) -> dict[str, str]:
    """Return headers as rules name them, `X-GitHub-Event` as `X-Github-Event`."""
    return {_title(name): value.decode("latin-1") for name, value in headers.items()}


@lru_cache(maxsize=TITLES_MAX)
def _title(name: bytes) -> str:
    return name.decode("latin-1").title()


ENDPOINTS = described(
    Endpoint(
        method="GET",
        path="/webhooks",
        handler=list_webhooks,
        summary="List the webhooks that rules listen to.",
    ),
    Endpoint(
        method="GET",
        path="/webhooks/{hook:path}",
        handler=get_webhook,
        summary="Get a webhook by its URL.",
    ),
    Endpoint(
        method="POST",
        path="/webhooks/{hook:path}",
        handler=post_webhook,
        summary="Send an event. Hook `st2` takes `trigger` and `payload` for any trigger. Headers"
        " `St2-Trace-Tag` and `Idempotency-Key` name the trace and the event.",
        body="JSON object or array, or a form, whose values arrive as lists",
        success=202,
        limit="max_webhook_body_bytes",
    ),
)
