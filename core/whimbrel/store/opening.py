"""Opening a store's files: lock, environment, schema, keys; and closing them again."""

from collections.abc import Sequence
from pathlib import Path

from whimbrel.store.environment import Environment, LmdbOptions
from whimbrel.store.folder import DataFolder
from whimbrel.store.schema import Migration, check_version, migrate
from whimbrel.store.tree import Head, Tree
from whimbrel.store.vault import Keyring, MasterKey, MasterKeySource, Vault


class OpenStore:
    """The open files of one store, and the keys to them."""

    def __init__(
        self,
        folder: DataFolder,
        environment: Environment,
        tree: Tree,
        *,
        head: Head,
        keys: "StoreKeys",
    ) -> None:
        self.folder = folder
        self.environment = environment
        self.tree = tree
        self.head = head
        self.keys = keys

    def close(self) -> None:
        """Close the file and give the folder free."""
        self.environment.close()
        self.folder.release()


class StoreKeys:
    """The master key, the wrapped data keys, and the vault that uses them."""

    def __init__(self, master: MasterKey, keyring: Keyring) -> None:
        self._master = master
        self._keyring = keyring
        self.vault = Vault(keyring.unlock(master))

    def grown(self) -> Keyring:
        """Return the keyring with one new data key, for writing down; nothing uses it yet."""
        return self._keyring.grown(self._master)

    def adopt(self, keyring: Keyring) -> int:
        """Seal with the newest key of a keyring that is durable by now; return its id."""
        self._keyring = keyring
        self.vault.use(keyring.unlock(self._master))
        return self.vault.key_id


def open_store(
    folder: Path, master: MasterKeySource, options: LmdbOptions, migrations: Sequence[Migration]
) -> OpenStore:
    """Lock the folder, open or make the store in it, and bring its schema up to date."""
    place = DataFolder(folder)
    place.acquire()
    try:
        environment = Environment(place.data_file, options)
        try:
            return _enter(place, environment, master, migrations)
        except BaseException:
            environment.close()
            raise
    except BaseException:
        place.release()
        raise


def _enter(
    folder: DataFolder,
    environment: Environment,
    source: MasterKeySource,
    migrations: Sequence[Migration],
) -> OpenStore:
    environment.lmdb.reader_check()
    with environment.lmdb.begin(write=True) as txn:
        tree = Tree(environment.lmdb, txn)
        check_version(tree.schema(txn), migrations)
        stored = tree.keyring(txn)
        master = source.load(create=stored is None)
        if stored is None:
            keyring = Keyring().grown(master)
            tree.set_keyring(txn, keyring.encode())
        else:
            keyring = Keyring.decode(stored)
        keys = StoreKeys(master, keyring)
        migrate(tree, txn, keys.vault, migrations)
        return OpenStore(folder, environment, tree, head=tree.head(txn), keys=keys)
