"""What the gateway asks of the broker, as protocols: the gateway knows no class behind them.

Filters are named as in the REST interface; a `Callable[..., R]` stands where the broker's method has
many optional keyword arguments.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from whimbrel.broker.identity import Identity
from whimbrel.broker.keys import Keys
from whimbrel.model import (
    Action,
    Caller,
    Event,
    Execution,
    ExecutionRequest,
    Ingested,
    OutputRecord,
    RuleEnforcement,
    Trace,
    Trigger,
    TriggerInstance,
)


class StreamEventLike(Protocol):
    """A happening of the live stream."""

    @property
    def name(self) -> str:
        """StackStorm's name of the event, as `st2.execution__update`."""
        ...

    @property
    def data(self) -> dict[str, Any]:
        """The event's document, secrets masked."""
        ...


class SubscriptionLike(Protocol):
    """An async iterator that can be asked for its next event under a timeout."""

    async def __anext__(self) -> StreamEventLike:
        """Return the next event; raises `Unavailable` for a subscriber that is too slow."""
        ...


class StreamPort(Protocol):
    """The live stream."""

    def subscribe(self, names: Sequence[str]) -> AbstractContextManager[SubscriptionLike]:
        """Give a subscription to events by their names, globs allowed."""
        ...


class ContentPort(Protocol):
    """Content by kind: pack action rule trigger_type trigger runner_type."""

    def all(self, kind: str) -> Sequence[Any]:
        """Return all of a kind."""
        ...

    def find(self, kind: str, ref_or_id: str) -> Any:
        """Return one by ref or id. Raises `NotFound`."""
        ...

    def webhooks(self) -> Sequence[Trigger]:
        """Return the triggers of the webhooks that rules listen to."""
        ...

    def webhook(self, url: str) -> Trigger:
        """Return a webhook's trigger. Raises `NotFound`."""
        ...

    def entry_point_text(self, action: Action) -> str:
        """Return the source of an action's entry point. Raises `NotFound`."""
        ...

    async def create(self, kind: str, document: Any, *, user: str = "") -> Any:
        """Create an item. Raises `InvalidInput`, `Conflict`."""
        ...

    async def update(self, kind: str, ref_or_id: str, document: Any) -> Any:
        """Replace an item. Raises `InvalidInput`, `NotFound`."""
        ...

    async def delete(self, kind: str, ref_or_id: str, *, remove_files: bool = False) -> Any:
        """Remove an item. Raises `NotFound`."""
        ...

    async def clone(
        self, ref_or_id: str, dest_pack: str, dest_action: str, *, overwrite: bool = False
    ) -> Action:
        """Copy an action. Raises `NotFound`, `InvalidInput`."""
        ...

    async def register(
        self,
        names: Sequence[str] | None = None,
        types: Sequence[str] | None = None,
        *,
        fail_on_failure: bool = True,
    ) -> Mapping[str, int]:
        """Register packs from disk; return how many of each type there were."""
        ...


class ExecutionsPort(Protocol):
    """Executions."""

    async def request(self, request: ExecutionRequest, *, caller: Caller) -> Execution:
        """Accept an execution. Raises `InvalidInput`."""
        ...

    def get(self, execution_id: str) -> Execution:
        """Return one; `last` is the newest. Raises `NotFound`."""
        ...

    @property
    def find(self) -> Callable[..., tuple[list[Execution], int]]:
        """`find(limit=…, offset=…, ascending=…, **filters)`: a page and the total."""
        ...

    def document(self, execution: Execution, *, show_secrets: bool = False) -> dict[str, Any]:
        """Return StackStorm's document of it."""
        ...

    async def cancel(self, execution_id: str, *, user: str) -> Execution:
        """End it. Raises `Conflict` when its state does not allow that."""
        ...

    @property
    def rerun(self) -> Callable[..., Awaitable[Execution]]:
        """`rerun(id, parameters=…, tasks=…, reset=…, delay=…, caller=…)`."""
        ...

    @property
    def set_status(self) -> Callable[..., Awaitable[Execution]]:
        """`set_status(id, status, result=…, caller=…)`."""
        ...

    def output(self, execution_id: str, *, channel: str = "all") -> list[OutputRecord]:
        """Return what it printed so far."""
        ...

    def children(self, execution_id: str, depth: int = -1) -> list[Execution]:
        """Return its descendants, depth first."""
        ...


class EventsPort(Protocol):
    """Events and what became of them."""

    async def ingest(self, event: Event) -> Ingested:
        """Accept an event. Raises `NotFound` for an unknown trigger."""
        ...

    async def webhook(
        self,
        url: str,
        *,
        body: Any,
        headers: Mapping[str, str],
        trace_tag: str = "",
        event_id: str = "",
    ) -> Ingested:
        """Accept what was posted to a webhook. Raises `NotFound` for a hook nobody listens to."""
        ...

    async def re_emit(self, instance_id: str) -> TriggerInstance:
        """Send a trigger instance through the rules again."""
        ...

    def instance(self, instance_id: str) -> TriggerInstance:
        """Return a trigger instance. Raises `NotFound`."""
        ...

    @property
    def instances(self) -> Callable[..., tuple[list[TriggerInstance], int]]:
        """A page of trigger instances and the total."""
        ...

    def enforcement(self, enforcement_id: str) -> RuleEnforcement:
        """Return a rule enforcement. Raises `NotFound`."""
        ...

    @property
    def enforcements(self) -> Callable[..., tuple[list[RuleEnforcement], int]]:
        """A page of rule enforcements and the total."""
        ...

    def trace(self, trace_id: str) -> Trace:
        """Return a trace. Raises `NotFound`."""
        ...

    @property
    def traces(self) -> Callable[..., tuple[list[Trace], int]]:
        """A page of traces and the total."""
        ...


class BrokerPort(Protocol):
    """The services of the broker by name."""

    @property
    def content(self) -> ContentPort:
        """Packs and what they bring."""
        ...

    @property
    def executions(self) -> ExecutionsPort:
        """Executions."""
        ...

    @property
    def events(self) -> EventsPort:
        """Events."""
        ...

    @property
    def stream(self) -> StreamPort:
        """The live stream."""
        ...

    @property
    def identity(self) -> Identity:
        """Users, tokens, API keys."""
        ...

    @property
    def keys(self) -> Keys:
        """The datastore."""
        ...

    @property
    def version(self) -> str:
        """The version of this program."""
        ...

    def status(self) -> Mapping[str, Any]:
        """Return what operators want to know first."""
        ...
