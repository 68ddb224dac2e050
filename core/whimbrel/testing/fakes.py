"""Stand-ins for the world and for the plugin host that keep their protocols."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from whimbrel.host import OnOutput, OnStarted, PluginStatus
from whimbrel.model import OutputChunk, RunnerOffer, RunOutcome, RunRequest, Status

START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
ID_DIGITS = 24


class FixedClock:
    """A clock that moves only when told."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now

    def now(self) -> datetime:
        """Return the time it was set to."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        return (self._now - START).total_seconds()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)


class CountedIds:
    """Identities that are counted, so that a test can name them."""

    def __init__(self) -> None:
        self._count = 0

    def object_id(self) -> str:
        """Return the next number as 24 hex digits."""
        self._count += 1
        return f"{self._count:0{ID_DIGITS}x}"

    def uuid(self) -> str:
        """Return the next number in the form of a UUID."""
        digits = f"{self.object_id():0>32}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def secret(self, size_bytes: int) -> str:
        """Return the next number as hex of that many bytes: a test's secret, not a secret."""
        return f"{self.object_id():0>{2 * size_bytes}}"[-2 * size_bytes :]


Behaviour = Callable[[RunRequest], RunOutcome]


def succeed(_: RunRequest) -> RunOutcome:
    """End the run as succeeded."""
    return RunOutcome(status=Status.SUCCEEDED, result=b'{"ok":true}')


class FakeHost:
    """A plugin host without plugins: each run does what `behaviour` says, when `gate` is open."""

    def __init__(self, behaviour: Behaviour = succeed, offers: Sequence[RunnerOffer] = ()) -> None:
        self.behaviour = behaviour
        self.gate = asyncio.Event()
        self.gate.set()
        self.requests: list[RunRequest] = []
        self.output: tuple[OutputChunk, ...] = ()
        self._offers = tuple(offers)
        self._canceled: dict[str, asyncio.Event] = {}

    def offers(self) -> Sequence[RunnerOffer]:
        """Return what it was made with."""
        return self._offers

    async def run(
        self, request: RunRequest, on_started: OnStarted, on_output: OnOutput
    ) -> RunOutcome:
        """Start at once, print `output`, wait for the gate or a cancel."""
        self.requests.append(request)
        canceled = self._canceled.setdefault(request.run_id, asyncio.Event())
        on_started()
        if self.output:
            on_output(list(self.output))
        waiting = [asyncio.ensure_future(e.wait()) for e in (self.gate, canceled)]  # noqa: TID251  both end here
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()
        del self._canceled[request.run_id]
        if canceled.is_set():
            return RunOutcome(status=Status.CANCELED)
        return self.behaviour(request)

    async def cancel(self, run_id: str, *, user: str) -> bool:
        """End a run that waits for the gate."""
        canceled = self._canceled.get(run_id)
        if canceled is not None:
            canceled.set()
        return canceled is not None

    def statuses(self) -> Sequence[PluginStatus]:
        """Return nothing: there are no plugins."""
        return ()

    def warm(self) -> None:
        """Do nothing: there is nothing to start."""
