"""The version of the stored form, and the steps from each version to the next."""

from collections.abc import Callable, Sequence

import msgspec

from whimbrel import errors
from whimbrel.store.tree import Transaction, Tree
from whimbrel.store.vault import Vault


class SchemaTooNew(errors.Unavailable):
    """A newer Whimbrel wrote this store; this one does not touch it. Install that version again."""


class Migration(msgspec.Struct, frozen=True):
    """One step: `apply` turns the form of version `version - 1` into that of `version`.

    All steps of a start run in one transaction: they take effect together or not at all.
    """

    version: int
    summary: str
    apply: Callable[[Tree, Transaction, Vault], None]


FIRST_VERSION = 1
MIGRATIONS: tuple[Migration, ...] = ()


def migrate(
    tree: Tree, txn: Transaction, vault: Vault, migrations: Sequence[Migration] = MIGRATIONS
) -> tuple[Migration, ...]:
    """Bring the store to the newest version known; return the steps taken. A new store takes none."""
    newest = newest_version(migrations)
    found = tree.schema(txn)
    check_version(found, migrations)
    steps = tuple(step for step in migrations if 0 < found < step.version)
    for step in steps:
        step.apply(tree, txn, vault)
    if found != newest:
        tree.set_schema(txn, newest)
    return steps


def check_version(found: int, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Raise `SchemaTooNew` when the stored form is newer than any that is known here."""
    newest = newest_version(migrations)
    if found > newest:
        raise SchemaTooNew(
            f"this store has schema version {found}, and this Whimbrel knows {newest} at most; "
            "start the newer Whimbrel that wrote it, or restore an older backup"
        )


def newest_version(migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Return the version that this Whimbrel writes."""
    return migrations[-1].version if migrations else FIRST_VERSION
