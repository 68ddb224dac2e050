"""The plugin host as the broker sees it."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from whimbrel import errors
from whimbrel.model import OutputChunk, RunnerOffer, RunOutcome, RunRequest


class NoSlot(errors.Unavailable):
    """The runner has no free slot; the run was not started and is not counted as an attempt."""


class PluginFailed(errors.Unavailable):
    """The plugin cannot be started or died. `last_lines` are the last it printed."""

    def __init__(self, message: str, *, last_lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.last_lines = tuple(last_lines)


class PluginStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin as operators see it."""

    name: str
    kind: str
    version: str
    state: str
    pid: int | None = None
    restarts: int = 0
    active_runs: int = 0
    message: str = ""
    path: str = ""


OnOutput = Callable[[list[OutputChunk]], None]
OnStarted = Callable[[], None]


class Host(Protocol):
    """What the broker asks of the plugin host."""

    def offers(self) -> Sequence[RunnerOffer]:
        """Return the runner types of all discovered plugins; starts nothing."""
        ...

    async def run(
        self, request: RunRequest, on_started: OnStarted, on_output: OnOutput
    ) -> RunOutcome:
        """Run to the end. Starts the plugin on first use; waits for a slot (first in, first out).

        A plugin that dies, hangs or answers nonsense ends its runs as `abandoned` or `failed` with
        the reason in the outcome; this never raises for what a plugin did.
        """
        ...

    async def cancel(self, run_id: str, *, user: str) -> bool:
        """Ask the plugin to end the run; return whether it was known. The outcome comes from `run`."""
        ...

    def warm(self) -> None:
        """Start, in the background, the plugins that are to be ready before their first run."""
        ...

    def statuses(self) -> Sequence[PluginStatus]:
        """Return every discovered plugin."""
        ...
