"""How models stand in the store: one `Table` per kind says its key, its type and its indexes."""

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import msgspec

from whimbrel.model import Execution, OutputRecord, RuleEnforcement, Trace, TriggerInstance
from whimbrel.store import Delete, Put, Store

T = TypeVar("T")
Indexes = Iterable[tuple[str, str | None]]

NO_PARENT = "null"
"""Stands for "no parent" in the index, as REST's filter `parent=null` does."""


def _no_indexes(_: object) -> Indexes:
    return ()


class Table(Generic[T]):
    """Typed access to one table of the store."""

    def __init__(
        self,
        name: str,
        kind: type[T],
        *,
        key: Callable[[T], str],
        indexes: Callable[[T], Indexes] = _no_indexes,
    ) -> None:
        self.name = name
        self._key = key
        self._indexes = indexes
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(kind)

    def put(self, value: T, *, expect: int | None = None) -> Put:
        """Return the write of a value with its index entries."""
        entries = tuple((name, text) for name, text in self._indexes(value) if text is not None)
        return Put(self.name, self._key(value), self._encoder.encode(value), entries, expect)

    def delete(self, key: str) -> Delete:
        """Return the removal of a record."""
        return Delete(self.name, key)

    def get(self, store: Store, key: str) -> T | None:
        """Return the value, or None."""
        record = store.get(self.name, key)
        return None if record is None else self._decoder.decode(record.value)

    def page(self, store: Store, **selection: Any) -> list[T]:
        """Return values as `Store.page` selects them."""
        return [self._decoder.decode(r.value) for r in store.page(self.name, **selection)]


class SeenEvent(msgspec.Struct, frozen=True, kw_only=True):
    """That an event id was ingested. `day` is the UTC date, by which old ones are purged."""

    key: str
    day: str
    trigger_instance_id: str
    trace_id: str
    trace_tag: str


class ContentVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The action and runner documents that executions ran with, kept once per version."""

    key: str
    action: dict[str, Any]
    runner: dict[str, Any]


def _execution_indexes(execution: Execution) -> Indexes:
    return (
        ("status", execution.status.value),
        ("action", execution.action_ref),
        ("user", execution.context.get("user")),
        ("parent", execution.parent or NO_PARENT),
        ("rule", (execution.rule or {}).get("ref")),
        ("trigger_instance", (execution.trigger_instance or {}).get("id")),
    )


def _enforcement_indexes(enforcement: RuleEnforcement) -> Indexes:
    return (
        ("rule", enforcement.rule["ref"]),
        ("trigger_instance", enforcement.trigger_instance_id),
        ("execution", enforcement.execution_id),
    )


EXECUTIONS: Table[Execution] = Table(
    "execution", Execution, key=lambda e: e.id, indexes=_execution_indexes
)
OUTPUTS: Table[OutputRecord] = Table(
    "output", OutputRecord, key=lambda o: f"{o.execution_id}/{o.id}"
)
INSTANCES: Table[TriggerInstance] = Table(
    "trigger_instance",
    TriggerInstance,
    key=lambda i: i.id,
    indexes=lambda i: (("trigger", i.trigger), ("trigger_type", i.trigger_type)),
)
ENFORCEMENTS: Table[RuleEnforcement] = Table(
    "rule_enforcement", RuleEnforcement, key=lambda e: e.id, indexes=_enforcement_indexes
)
TRACES: Table[Trace] = Table(
    "trace", Trace, key=lambda t: t.id, indexes=lambda t: (("tag", t.trace_tag),)
)
SEEN_EVENTS: Table[SeenEvent] = Table(
    "seen_event", SeenEvent, key=lambda s: s.key, indexes=lambda s: (("day", s.day),)
)
CONTENT_VERSIONS: Table[ContentVersion] = Table(
    "content_version", ContentVersion, key=lambda v: v.key
)
