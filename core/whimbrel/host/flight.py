"""Runs on their way: what the plugin says of each becomes callbacks and one outcome."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

import structlog
from whimbrel_sdk.wire.plugin.v1 import runner_service_pb2 as wire

from whimbrel.host.port import OnOutput, OnStarted
from whimbrel.host.wire import Failure, Nonsense, chunk_from_wire, outcome_from_wire
from whimbrel.model import OutputChunk, RunOutcome, RunRequest, Status

log = structlog.get_logger(__name__)

NEVER = float("inf")


class Flight:
    """One run, from the call of `Host.run` to its outcome. `runner` is the offer's own name."""

    def __init__(
        self, request: RunRequest, runner: str, on_started: OnStarted, on_output: OnOutput
    ) -> None:
        self.request = request
        self.runner = runner
        self.outcome: asyncio.Future[RunOutcome] = asyncio.get_running_loop().create_future()
        self.last_event = 0.0
        self.deadline = NEVER
        self.late_status = Status.TIMEOUT
        self.refused = False
        self._on_started = on_started
        self._on_output = on_output
        self._started = False
        self._chunks: list[OutputChunk] = []
        self._output_bytes = 0

    @property
    def over(self) -> bool:
        """Whether the caller has its outcome."""
        return self.outcome.done()

    async def joined(self) -> RunOutcome:
        """Wait for the outcome that somebody else asked for."""
        await asyncio.wait({self.outcome})
        if self.outcome.cancelled():
            return RunOutcome(status=Status.CANCELED, reason="the run's first caller went away")
        return self.outcome.result()

    def give_up(self) -> None:
        """End the run for its caller; the plugin did not."""
        if self.late_status is Status.TIMEOUT:
            reason = f"the plugin did not end it within its {self.request.timeout_seconds:g} s"
        else:
            reason = "was canceled; the plugin did not confirm it"
        self.finish(RunOutcome(status=self.late_status, reason=reason))

    def finish(self, outcome: RunOutcome) -> None:
        """Give the caller its outcome; the first one counts."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def take(self, event: wire.RunEvent, max_output_bytes: int) -> bool:
        """Take what the plugin says; return whether that was its last word on this run."""
        if event.HasField("output"):
            self._take_output(event.output, max_output_bytes)
        elif event.HasField("started"):
            self._take_started()
        elif event.HasField("result"):
            self._take_result(event.result, max_output_bytes)
            return True
        return False

    def show_output(self) -> None:
        """Hand on the output that came with this frame."""
        if self._chunks and not self.over:
            chunks, self._chunks = self._chunks, []
            self._tell(self._on_output, chunks)

    def _take_started(self) -> None:
        if not self._started and not self.over:
            self._started = True
            self._tell(self._on_started)

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        """Call back; a fault of the caller's ends its own run and no other."""
        try:
            callback(*args)
        except Exception as error:
            log.exception("a run's caller failed", run=self.request.run_id)
            reason = f"the host could not take the run's events: {error}"
            self.finish(RunOutcome(status=Status.FAILED, reason=reason))

    def _take_output(self, message: wire.OutputChunk, max_output_bytes: int) -> None:
        self._output_bytes += len(message.data)
        if self._output_bytes <= max_output_bytes:
            self._chunks.append(chunk_from_wire(message))

    def _take_result(self, message: wire.RunResult, max_output_bytes: int) -> None:
        kind = message.failure.kind if message.HasField("failure") else None
        if kind == Failure.KIND_RESOURCE_EXHAUSTED and not self._started:
            self.refused = True
            return
        outcome = outcome_from_wire(message)
        if self._output_bytes > max_output_bytes and not outcome.output_truncated:
            outcome = RunOutcome(
                status=outcome.status,
                result=outcome.result,
                reason=outcome.reason,
                output_truncated=True,
            )
        self.show_output()
        self.finish(outcome)


class Flights:
    """The runs that a plugin has in hand. `on_end` hears of each that it lets go of."""

    def __init__(
        self, plugin: str, *, max_output_bytes: int, on_end: Callable[[Flight], None]
    ) -> None:
        self._plugin = plugin
        self._max_output_bytes = max_output_bytes
        self._on_end = on_end
        self._flights: dict[str, Flight] = {}
        self._shown: list[Flight] = []

    def __len__(self) -> int:
        return len(self._flights)

    def get(self, run_id: str) -> Flight | None:
        """Return the run, if the plugin has it in hand."""
        return self._flights.get(run_id)

    @property
    def all_overdue(self) -> bool:
        """Whether the plugin holds on to nothing but runs that were given up."""
        return bool(self._flights) and all(f.over for f in self._flights.values())

    def add(self, flight: Flight, now: float) -> None:
        """Take a run that is being sent."""
        flight.last_event = now
        self._flights[flight.request.run_id] = flight

    def receive(self, run_id: str, event: wire.RunEvent, now: float) -> None:
        """Take an event; what the contract does not allow ends that run as failed."""
        flight = self._flights.get(run_id)
        if flight is None:
            log.debug("event of an unknown run", plugin=self._plugin, run=run_id)
            return
        flight.last_event = now
        try:
            last = flight.take(event, self._max_output_bytes)
        except Nonsense as error:
            reason = f"plugin {self._plugin} sent {error}"
            flight.finish(RunOutcome(status=Status.FAILED, reason=reason))
            last = True
        if last:
            self.let_go(flight)
        elif event.HasField("output"):
            self._shown.append(flight)

    def frame_over(self) -> None:
        """Hand on the output of the frame that ends here: one call for each run."""
        if self._shown:
            shown, self._shown = self._shown, []
            for flight in shown:
                flight.show_output()

    def let_go(self, flight: Flight) -> None:
        """Forget a run that the plugin has no more."""
        if self._flights.pop(flight.request.run_id, None) is not None:
            self._on_end(flight)

    def let_all_go(self, outcome: RunOutcome) -> None:
        """End every run with one shared outcome: the plugin is gone."""
        flights, self._flights = self._flights, {}
        for flight in flights.values():
            flight.finish(outcome)
            self._on_end(flight)

    def give_up_late(self, now: float, silence_seconds: float) -> list[Flight]:
        """End runs past their deadline or silent for too long; return them.

        The plugin still has them in hand, so that they keep their slots.
        """
        late = []
        for flight in self._flights.values():
            if flight.over:
                continue
            if now >= flight.deadline:
                flight.give_up()
                late.append(flight)
            elif now - flight.last_event > silence_seconds:
                reason = f"plugin {self._plugin} gave no sign of life for {silence_seconds:g} s"
                flight.finish(RunOutcome(status=Status.ABANDONED, reason=reason))
                late.append(flight)
        return late


class Lanes:
    """Runs that wait for a slot, first in, first out for each runner.

    `limits` are the runners' own, 0 for none; the plugin's, over all runners, is set when known.
    """

    def __init__(self, limits: Mapping[str, int]) -> None:
        self.plugin_limit = 0
        self._limits = limits
        self._waiting: dict[str, deque[Flight]] = {name: deque() for name in limits}
        self._busy = dict.fromkeys(limits, 0)

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def push(self, flight: Flight) -> None:
        """Put a run at the end of its lane."""
        self._waiting[flight.runner].append(flight)

    def push_back(self, flight: Flight) -> None:
        """Put a run that was refused at the head of its lane."""
        self._waiting[flight.runner].appendleft(flight)

    def next(self) -> Flight | None:
        """Take a run that has a slot now, or None. Runs that are over are dropped."""
        if self.plugin_limit and sum(self._busy.values()) >= self.plugin_limit:
            return None
        for name, lane in self._waiting.items():
            while lane and (not self._limits[name] or self._busy[name] < self._limits[name]):
                flight = lane.popleft()
                if not flight.over:
                    self._busy[name] += 1
                    return flight
        return None

    def release(self, flight: Flight) -> None:
        """Give the run's slot back."""
        self._busy[flight.runner] -= 1

    def end_waiting(self, outcome: RunOutcome) -> None:
        """End every waiting run with one shared outcome."""
        for lane in self._waiting.values():
            while lane:
                lane.popleft().finish(outcome)
