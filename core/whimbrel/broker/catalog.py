"""All content in memory, and drafts of changes to it.

Reads come from memory; the store has the truth and is read once, at start. A `Draft` collects changes
that become durable together, and sees its own changes before that.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from whimbrel.broker.records import Table
from whimbrel.model import Action, Pack, Rule, RunnerType, Trigger, TriggerType
from whimbrel.store import Op, Store

Item = Action | Pack | Rule | RunnerType | Trigger | TriggerType


def key_of(item: Any) -> str:
    """Return what an item goes by within its kind: its ref, or its name for a runner type."""
    return item.name if isinstance(item, RunnerType) else item.ref


def _table(name: str, kind: type[Any]) -> Table[Any]:
    return Table(name, kind, key=key_of)


TABLES: Mapping[str, Table[Any]] = {
    "pack": _table("pack", Pack),
    "runner_type": _table("runner_type", RunnerType),
    "trigger_type": _table("trigger_type", TriggerType),
    "trigger": _table("trigger", Trigger),
    "action": _table("action", Action),
    "rule": _table("rule", Rule),
}
"""Where each kind of content is kept."""


class Change(msgspec.Struct, frozen=True):
    """One item that was created, updated or deleted; `item` is the last state of a deleted one."""

    kind: str
    verb: str
    item: Any


TriggerKey = tuple[str, bytes]


def trigger_key(type_ref: str, parameters: Mapping[str, Any]) -> TriggerKey:
    """Return what two triggers share when they are the same: type and parameters."""
    return type_ref, msgspec.json.encode(parameters, order="deterministic")


class Catalog:
    """What is there now, by kind."""

    def __init__(self) -> None:
        self._items: dict[str, dict[str, Any]] = {kind: {} for kind in TABLES}
        self._keys: dict[str, dict[str, str]] = {kind: {} for kind in TABLES}
        self._sorted: dict[str, list[Any]] = {}
        self._triggers: dict[TriggerKey, str] = {}

    def load(self, store: Store) -> None:
        """Read everything that the store has."""
        for kind, table in TABLES.items():
            total = store.count(table.name)
            for item in table.page(store, limit=max(total, 1), ascending=True):
                self._set(kind, item)

    def get(self, kind: str, key_or_id: str) -> Any:
        """Return an item by ref, name or id; None when there is none."""
        items = self._items.get(kind, {})
        found = items.get(key_or_id)
        if found is None and items:
            found = items.get(self._keys[kind].get(key_or_id, ""))
        return found

    def all(self, kind: str) -> list[Any]:
        """Return all items of a kind by pack and name. The list is the catalog's own."""
        listed = self._sorted.get(kind)
        if listed is None:
            listed = sorted(self._items.get(kind, {}).values(), key=_order)
            self._sorted[kind] = listed
        return listed

    def trigger(self, key: TriggerKey) -> Trigger | None:
        """Return the trigger of a type that has these parameters."""
        ref = self._triggers.get(key)
        return None if ref is None else self._items["trigger"][ref]

    def apply(self, changes: Sequence[Change]) -> None:
        """Take over changes that are durable."""
        for change in changes:
            self._sorted.pop(change.kind, None)
            if change.verb == "delete":
                self._drop(change.kind, change.item)
            else:
                self._set(change.kind, change.item)

    def _set(self, kind: str, item: Any) -> None:
        self._items[kind][key_of(item)] = item
        self._keys[kind][item.id] = key_of(item)
        for alias in item.aliases if isinstance(item, RunnerType) else ():
            self._keys[kind][alias] = item.name
        if isinstance(item, Trigger):
            self._triggers[trigger_key(item.type, item.parameters)] = item.ref

    def _drop(self, kind: str, item: Any) -> None:
        self._items[kind].pop(key_of(item), None)
        if self._keys[kind].get(item.id) == key_of(item):
            del self._keys[kind][item.id]
        for alias in item.aliases if isinstance(item, RunnerType) else ():
            self._keys[kind].pop(alias, None)
        if isinstance(item, Trigger):
            self._triggers.pop(trigger_key(item.type, item.parameters), None)


def _order(item: Any) -> tuple[str, str]:
    return getattr(item, "pack", ""), item.name


class Draft:
    """Changes to the catalog that are not durable yet."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._changed: dict[tuple[str, str], Any] = {}
        self._triggers: dict[TriggerKey, Trigger] = {}

    def get(self, kind: str, key_or_id: str) -> Any:
        """Return an item as it will be; None when it is not there then."""
        found = self._catalog.get(kind, key_or_id)
        key = (kind, key_or_id if found is None else key_of(found))
        return self._changed.get(key, found)

    def trigger(self, key: TriggerKey) -> Trigger | None:
        """Return the trigger of a type that has these parameters, as it will be."""
        drafted = self._triggers.get(key)
        found = drafted or self._catalog.trigger(key)
        if found is None:
            return None
        trigger: Trigger | None = self.get("trigger", found.ref)
        return trigger

    def save(self, kind: str, item: Any) -> None:
        """Create an item, or replace the one that goes by its ref."""
        self._changed[kind, key_of(item)] = item
        if isinstance(item, Trigger):
            self._triggers[trigger_key(item.type, item.parameters)] = item

    def remove(self, kind: str, item: Any) -> None:
        """Delete an item."""
        self._changed[kind, key_of(item)] = None

    def changes(self) -> list[Change]:
        """Return what really changes, what is deleted first."""
        changes: list[Change] = []
        for (kind, key), item in self._changed.items():
            former = self._catalog.get(kind, key)
            if former is not None and key_of(former) != key:
                former = None
            if item is None and former is not None:
                changes.insert(0, Change(kind, "delete", former))
            elif item is not None and former is None:
                changes.append(Change(kind, "create", item))
            elif item is not None and item != former:
                changes.append(Change(kind, "update", item))
        return changes


Announce = Callable[[Sequence[Change]], Sequence[Op]]
"""Gives the writes that announce changes; they commit together with them."""


def writes(changes: Sequence[Change]) -> list[Op]:
    """Return the writes that make changes durable."""
    return [
        TABLES[change.kind].delete(key_of(change.item))
        if change.verb == "delete"
        else TABLES[change.kind].put(change.item)
        for change in changes
    ]
