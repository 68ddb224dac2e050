"""The Store port and its values. The implementations are known to `app/wiring.py` alone."""

from whimbrel.store.port import (
    Change,
    Delete,
    Op,
    Put,
    Record,
    RevisionConflict,
    Store,
    StoreFull,
    StoreLocked,
)

__all__ = [
    "Change",
    "Delete",
    "Op",
    "Put",
    "Record",
    "RevisionConflict",
    "Store",
    "StoreFull",
    "StoreLocked",
]
