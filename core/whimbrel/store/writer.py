"""The one thread that writes: a group of commits, one LMDB transaction, one disk sync."""

import queue
import threading
from collections.abc import Callable, Sequence

import lmdb

from whimbrel import errors
from whimbrel.store.environment import Environment, Faults, failure
from whimbrel.store.layout import Batch
from whimbrel.store.tree import Head, Tree

# What deletes may use beyond the maximum size, since LMDB copies a page to change it.
_OVERDRAFT_BYTES = 4 * 1024 * 1024

Result = int | errors.WhimbrelError


class Milestone:
    """Something that the writer thread reaches once, for which one other thread may wait."""

    def __init__(self) -> None:
        self._ahead = threading.Lock()
        self._ahead.acquire()
        self.reached = False

    def reach(self) -> None:
        """Let the waiting thread go on; further calls change nothing."""
        if not self.reached:
            self.reached = True
            self._ahead.release()

    def wait(self, timeout_seconds: float) -> None:
        """Return when it is reached, or when the time is over."""
        if not self.reached:
            self._ahead.acquire(timeout=timeout_seconds)


class Group:
    """Commits that become durable together.

    `applied`: only the disk sync is left to do. `reported`: `results` has the revision or error of
    each batch, in order, and `head` is the state reached, or None when nothing became durable.
    """

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches
        self.results: list[Result] = []
        self.head: Head | None = None
        self.applied = Milestone()
        self.reported = Milestone()


class Writer:
    """Takes groups, one at a time, and reports each with its results, on its own thread."""

    def __init__(
        self,
        environment: Environment,
        tree: Tree,
        faults: Faults,
        report: Callable[[Group], None],
    ) -> None:
        self._environment = environment
        self._tree = tree
        self._faults = faults
        self._report = report
        self._work: queue.SimpleQueue[Group | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, group: Group) -> None:
        """Hand over a group; the one before must have been reported."""
        self._work.put(group)

    def stop(self) -> None:
        """End the thread after what was handed over; returns when it has ended."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (group := self._work.get()) is not None:
            try:
                group.results = self._write(group)
            except Exception as error:  # noqa: BLE001 - supervises: every waiter gets the failure
                refusal = failure(error, self._environment.path)
                group.results = [refusal] * len(group.batches)
            finally:
                group.applied.reach()
            self._report(group)
            group.reported.reach()

    def _write(self, group: Group) -> list[Result]:
        while True:
            try:
                return self._transact(group, group.batches)
            except lmdb.MapFullError:
                if not self._environment.grow():
                    break
            except errors.Corrupt:
                break
        # At the maximum size, or beside a damaged record, each commit stands for itself.
        return [self._write_alone(group, batch) for batch in group.batches]

    def _write_alone(self, group: Group, batch: Batch) -> Result:
        try:
            return self._transact(group, [batch])[0]
        except errors.Corrupt as error:
            return error
        except lmdb.MapFullError as error:
            if any(write.sealed is not None for write in batch.writes):
                return failure(error, self._environment.path)
        return self._overdraw(group, batch)

    def _overdraw(self, group: Group, batch: Batch) -> Result:
        size = self._environment.size_bytes
        self._environment.resize(size + _OVERDRAFT_BYTES)
        try:
            return self._transact(group, [batch])[0]
        except lmdb.MapFullError as error:
            return failure(error, self._environment.path)
        finally:
            self._environment.resize(size)

    def _transact(self, group: Group, batches: Sequence[Batch]) -> list[Result]:
        with self._environment.lmdb.begin(write=True) as txn:
            outcomes, head = self._tree.apply(txn, batches)
            self._faults.before_commit(head.revision)
            group.applied.reach()
        group.head = head
        self._faults.after_commit(head.revision)
        return [*outcomes]
