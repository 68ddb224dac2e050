"""The bound on commits in flight: by number and by bytes, first come first served."""

import asyncio
from collections import deque


class Admission:
    """Lets a commit in when there is room; later ones wait behind earlier ones.

    A commit larger than the byte limit gets in alone.
    """

    def __init__(self, *, commits_max: int, bytes_max: int) -> None:
        self._commits_max = commits_max
        self._bytes_max = bytes_max
        self._commits = 0
        self._bytes = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._drained: asyncio.Future[None] | None = None

    def try_enter(self, size: int) -> bool:
        """Take a place if there is room and nobody waits; return whether it was taken."""
        if self._waiting or not self._fits(size):
            return False
        self.force(size)
        return True

    def force(self, size: int) -> None:
        """Take a place even where there is no room: for the store's own commits."""
        self._commits += 1
        self._bytes += size

    async def enter(self, size: int) -> None:
        """Wait for a place and take it."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.leave(1, size)
            elif (size, turn) in self._waiting:
                self._waiting.remove((size, turn))
                self._admit()
            raise

    def leave(self, commits: int, size: int) -> None:
        """Give places back and let in who waits."""
        self._commits -= commits
        self._bytes -= size
        self._admit()
        if self._drained is not None and not self._commits and not self._drained.done():
            self._drained.set_result(None)

    async def drained(self) -> None:
        """Return when nobody is in and nobody waits; for one caller, once no more come."""
        if self._commits:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            if not turn.done():
                self.force(size)
                turn.set_result(None)

    def _fits(self, size: int) -> bool:
        if not self._commits:
            return True
        return self._commits < self._commits_max and self._bytes + size <= self._bytes_max
