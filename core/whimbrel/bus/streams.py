"""The two streams and the consumer, as JetStream's API wants them, and how they come to be.

The API is spoken as JSON: its requests are small, and the answers are checked here rather than trusted.
"""

from typing import Any, Final

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeout

from whimbrel.bus import subjects
from whimbrel.bus.cancellation import heeded
from whimbrel.bus.limits import Limits
from whimbrel.bus.port import BusDown
from whimbrel.errors import InvalidInput

EVENT_STREAM: Final = "WHIMBREL_EVENTS"
ANNOUNCE_STREAM: Final = "WHIMBREL_ANNOUNCE"
CONSUMER: Final = "broker"
DELIVERY: Final = "_WHIMBREL.deliver.events"
"""Where the server hands out events. Publishers may not subscribe it, nor the broker's inboxes."""
DELIVERY_GROUP: Final = "brokers"
"""Several brokers of one cluster share the events between them."""

LEAST_API_LEVEL: Final = 2
"""JetStream of nats-server 2.12; older ones ignore what they do not know instead of refusing it."""
DUPLICATE_SECONDS: Final = 120
ACK_WAIT_SECONDS: Final = 10
IN_FLIGHT_LIMIT: Final = 256
API_SECONDS: Final = 5.0

_NANO: Final = 1_000_000_000
_NOT_FOUND: Final = 404
NO_RESPONDERS: Final = 503
"""No stream takes this subject: JetStream restarted, or somebody deleted the stream."""


class ApiError(msgspec.Struct, frozen=True):
    """What JetStream answered instead of a result."""

    code: int
    description: str = ""
    err_code: int = 0


class _Answer(msgspec.Struct):
    error: ApiError | None = None
    config: dict[str, Any] = {}
    api: dict[str, int] = {}


_answers: Final = msgspec.json.Decoder(_Answer)


def event_stream(limits: Limits) -> dict[str, Any]:
    """A work queue: kept until accepted; full means that the publisher is told, nothing is dropped."""
    return {
        "name": EVENT_STREAM,
        "subjects": [f"{subjects.EVENTS}.>"],
        "retention": "workqueue",
        "storage": "file",
        "discard": "new",
        "max_bytes": limits.event_bytes,
        "duplicate_window": DUPLICATE_SECONDS * _NANO,
        "num_replicas": limits.replicas,
    }


def announce_stream(limits: Limits) -> dict[str, Any]:
    """In memory: the broker's store has the truth, and sends what was not acknowledged again."""
    return {
        "name": ANNOUNCE_STREAM,
        "subjects": list(subjects.ANNOUNCED),
        "retention": "limits",
        "storage": "memory",
        "discard": "old",
        "max_bytes": limits.announce_bytes,
        "max_age": limits.announce_seconds * _NANO,
        "duplicate_window": DUPLICATE_SECONDS * _NANO,
        "num_replicas": limits.replicas,
    }


def consumer() -> dict[str, Any]:
    """A durable push consumer: half the cost of pulling; unacknowledged messages come again."""
    return {
        "durable_name": CONSUMER,
        "deliver_policy": "all",
        "deliver_subject": DELIVERY,
        "deliver_group": DELIVERY_GROUP,
        "ack_policy": "explicit",
        "ack_wait": ACK_WAIT_SECONDS * _NANO,
        "max_deliver": -1,
        "max_ack_pending": IN_FLIGHT_LIMIT,
    }


class JetStream:
    """The few API calls that the bus needs, on one connection; `url` is for errors only."""

    def __init__(self, client: Client, url: str) -> None:
        self._client = client
        self._url = url

    async def check_level(self) -> None:
        """Raise `InvalidInput` when this JetStream is too old, `BusDown` when there is none."""
        answer = await self._call("INFO")
        level = answer.api.get("level", 0)
        if level < LEAST_API_LEVEL:
            raise InvalidInput(
                f"JetStream's API level is {level}; at least {LEAST_API_LEVEL} is needed"
                " (nats-server 2.12)",
                place=self._url,
            )

    async def ensure_stream(self, config: dict[str, Any]) -> bool:
        """Create the stream, or bring it to this configuration; return whether anything changed."""
        name = config["name"]
        answer = await self._call(f"STREAM.INFO.{name}", absent=True)
        if answer.error is not None:
            await self._call(f"STREAM.CREATE.{name}", config)
            return True
        if _has(answer.config, config):
            return False
        await self._call(f"STREAM.UPDATE.{name}", answer.config | config)
        return True

    async def ensure_consumer(self) -> bool:
        """Create the event stream's consumer, or bring it up to date; return whether it changed."""
        answer = await self._call(f"CONSUMER.INFO.{EVENT_STREAM}.{CONSUMER}", absent=True)
        if answer.error is None and _has(answer.config, consumer()):
            return False
        request = {"stream_name": EVENT_STREAM, "config": answer.config | consumer()}
        await self._call(f"CONSUMER.CREATE.{EVENT_STREAM}.{CONSUMER}", request)
        return True

    async def has_consumer(self) -> bool:
        """Say whether the event stream's consumer exists."""
        answer = await self._call(f"CONSUMER.INFO.{EVENT_STREAM}.{CONSUMER}", absent=True)
        return answer.error is None

    async def _call(
        self, operation: str, request: dict[str, Any] | None = None, *, absent: bool = False
    ) -> _Answer:
        body = b"" if request is None else msgspec.json.encode(request)
        try:
            message = await heeded(self._client.request(f"$JS.API.{operation}", body, API_SECONDS))
        except NoRespondersError:
            raise BusDown(f"{self._url}: JetStream is not enabled, or not ready") from None
        except NatsTimeout:
            raise BusDown(
                f"{self._url}: no answer to $JS.API.{operation} within {API_SECONDS} s;"
                " may this user publish $JS.API.>?"
            ) from None
        except (NatsError, OSError) as error:
            raise BusDown(f"{self._url}: {error}") from error
        answer = _answers.decode(message.data)
        refused = answer.error
        if refused is not None and not (absent and refused.code == _NOT_FOUND):
            raise BusDown(f"{self._url}: {operation}: {refused.description} ({refused.err_code})")
        return answer


def _has(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(found.get(name) == value for name, value in wanted.items())
