"""How far a store has come, and who waits for it to come further."""

import asyncio

from whimbrel import errors


class Progress:
    """The newest revision that reads include, and the barriers that are ahead of it."""

    def __init__(self, revision: int = 0) -> None:
        self.revision = revision
        self._closed = False
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def reach(self, revision: int) -> None:
        """Note a revision, and let go who waited for it."""
        self.revision = revision
        if not self._waiting:
            return
        ahead = []
        for awaited, reached in self._waiting:
            if awaited > revision:
                ahead.append((awaited, reached))
            elif not reached.done():
                reached.set_result(None)
        self._waiting = ahead

    async def wait(self, revision: int) -> None:
        """Return once the revision is reached; raises `Unavailable` if the store closes first."""
        if revision <= self.revision:
            return
        if self._closed:
            raise _never(revision)
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, reached))
        await reached

    def close(self) -> None:
        """Tell everybody who waits that it will not come."""
        self._closed = True
        for revision, reached in self._waiting:
            if not reached.done():
                reached.set_exception(_never(revision))
        self._waiting.clear()


def _never(revision: int) -> errors.Unavailable:
    return errors.Unavailable(f"the store closed before revision {revision}")
