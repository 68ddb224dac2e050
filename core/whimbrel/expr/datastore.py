"""`st2kv` in templates: datastore items that are read only when they are used."""

from typing import Any, Protocol

from whimbrel.model import SYSTEM_SCOPE, USER_SCOPE


class KeyReader(Protocol):
    """Where datastore items are read from, while a template is rendered."""

    def read(self, scope: str, name: str) -> str | None:
        """Return the stored text, or None when there is no such item.

        `scope` is `st2kv.system` or `st2kv.user`; in the user scope `name` is `user:name`.
        Secret items return their ciphertext.
        """
        ...


class Decrypter(Protocol):
    """What turns the ciphertext of a secret item into its text."""

    def decrypt(self, ciphertext: str) -> str:
        """Return the text; raise `CipherError` when the ciphertext or the key is bad."""
        ...


class EmptyDatastore:
    """A `KeyReader` in which every item is missing."""

    def read(self, scope: str, name: str) -> str | None:
        """Return None."""
        return None


class DatastoreLookup:
    """A reference to a datastore item; printing it gives the stored text, or nothing when missing.

    Attributes and indexes extend the name: `st2kv.system.a.b` is the item `a.b`.
    It stays opaque until it is printed or cast, as in StackStorm: always true, never equal to text.
    Iterating it, or searching in it, is a `TypeError`.
    """

    # No public attribute may stand here: it would hide the item of that name.
    __slots__ = ("_name", "_prefix", "_reader", "_scope")

    def __init__(self, reader: KeyReader, scope: str, prefix: str = "", name: str = "") -> None:
        self._reader = reader
        self._scope = scope
        self._prefix = prefix
        self._name = name

    # Without these Python would iterate by index, for ever, since every index names an item.
    __iter__ = None
    __contains__ = None

    def __getitem__(self, key: object) -> "DatastoreLookup":
        name = f"{self._name}.{key}" if self._name else str(key)
        return DatastoreLookup(self._reader, self._scope, self._prefix, name)

    def __str__(self) -> str:
        return stored_text(self) or ""

    def __int__(self) -> int:
        return int(str(self))

    def __float__(self) -> float:
        return float(str(self))


def stored_text(lookup: DatastoreLookup) -> str | None:
    """Return the text of the item that `lookup` names, None when it is missing."""
    if not lookup._name:
        return None
    return lookup._reader.read(lookup._scope, lookup._prefix + lookup._name)


def item_name(lookup: DatastoreLookup) -> str:
    """Return the name of the item as a template writes it: `st2kv.system.a.b`; for messages."""
    return f"{lookup._scope}.{lookup._name}"


def datastore(reader: KeyReader, user: str | None = None) -> dict[str, DatastoreLookup]:
    """Return what `st2kv` names in a template: `system`, and `user` when a user is known."""
    scopes = {"system": DatastoreLookup(reader, SYSTEM_SCOPE)}
    if user is not None:
        scopes["user"] = DatastoreLookup(reader, USER_SCOPE, f"{user}:")
    return scopes


def named_item(value: Any) -> bool:
    """Say whether `value` refers to one item, so that it can stand for its text."""
    return isinstance(value, DatastoreLookup) and bool(value._name)
