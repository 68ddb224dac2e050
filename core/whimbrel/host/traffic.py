"""The runs of one plugin: waiting for a slot, in the plugin's hands, ended."""

import asyncio
from collections.abc import Callable

from whimbrel_sdk.wire.plugin.v1 import runner_service_pb2 as wire

from whimbrel.host.flight import Flight, Flights, Lanes
from whimbrel.host.limits import HostLimits
from whimbrel.host.manifest import Manifest
from whimbrel.host.port import NoSlot
from whimbrel.host.session import Greeting, Link
from whimbrel.host.wire import request_to_wire
from whimbrel.model import RunOutcome, Status

MESSAGE_RESERVE_BYTES = 64 * 1024
"""What a message needs beside the parameters it carries."""

SWEEP_SECONDS = 1.0
"""At least this often deadlines, silence and idleness are looked at."""


class Traffic:
    """Sends runs when there is a link and a slot, and sees each of them to its end.

    Nothing here waits: it lives on callbacks of the loop. `on_idle` is called when the plugin had
    no run for its idle time, `on_stuck` when all it has are runs that were given up.
    """

    def __init__(
        self,
        manifest: Manifest,
        limits: HostLimits,
        *,
        on_idle: Callable[[], None],
        on_stuck: Callable[[], None],
    ) -> None:
        self.empty = asyncio.Event()
        self.empty.set()
        self._name = manifest.name
        self._idle_seconds = 0.0 if manifest.min_instances else manifest.idle_timeout
        self._limits = limits
        self._on_idle = on_idle
        self._on_stuck = on_stuck
        self._lanes = Lanes({r.name: r.max_concurrency for r in manifest.runners})
        self._flights = Flights(
            manifest.name, max_output_bytes=limits.max_output_bytes, on_end=self._ended
        )
        self._link: Link | None = None
        self._max_params_bytes = 0
        self._idle_since = 0.0
        self._sweeper: asyncio.TimerHandle | None = None
        self._time = asyncio.get_running_loop().time

    @property
    def active(self) -> int:
        """How many runs the plugin has in hand."""
        return len(self._flights)

    @property
    def waiting(self) -> int:
        """How many runs wait for the plugin or for a slot."""
        return len(self._lanes)

    # -- runs come and go -------------------------------------------------------------------------

    def submit(self, flight: Flight) -> None:
        """Take a run. Raises NoSlot when too many wait."""
        limit = self._limits.max_waiting_runs
        if len(self._lanes) >= limit:
            raise NoSlot(f"runs waiting for plugin {self._name} are limited to {limit}")
        self._lanes.push(flight)
        self._pump()

    def cancel(self, flight: Flight, user: str) -> None:
        """End a run: at once when it waits, through the plugin when it has it."""
        run_id = flight.request.run_id
        if self._flights.get(run_id) is not flight:
            flight.finish(RunOutcome(status=Status.CANCELED, reason="was canceled"))
        elif self._link is not None:
            self._link.cancel(run_id, user)
            self._set_deadline(flight, self._limits.cancel_slack_seconds, Status.CANCELED)

    def receive(self, run_id: str, event: wire.RunEvent) -> None:
        """Take what the plugin says of a run."""
        self._flights.receive(run_id, event, self._time())

    def frame_over(self) -> None:
        """Hand on the output of the frame that ends here."""
        self._flights.frame_over()

    def end_waiting(self, outcome: RunOutcome) -> None:
        """End the runs that the plugin has not got, with one shared outcome."""
        self._lanes.end_waiting(outcome)

    def end_active(self, outcome: RunOutcome) -> None:
        """End the runs that the plugin had, with one shared outcome."""
        self._flights.let_all_go(outcome)

    # -- the link comes and goes ------------------------------------------------------------------

    def open(self, link: Link, greeting: Greeting) -> None:
        """Send what waits over `link` from now on."""
        self._link = link
        self._lanes.plugin_limit = greeting.max_concurrent_runs
        self._max_params_bytes = greeting.max_message_bytes - MESSAGE_RESERVE_BYTES
        self._idle_since = self._time()
        self._plan_sweep()
        self._pump()

    def close(self) -> None:
        """Send no more runs; what comes back still counts. Idempotent."""
        self._link = None
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    # -- inside -----------------------------------------------------------------------------------

    def _pump(self) -> None:
        while self._link is not None and (flight := self._lanes.next()) is not None:
            self._send(flight, self._link)

    def _send(self, flight: Flight, link: Link) -> None:
        request = flight.request
        message, size = request_to_wire(
            request, runner=flight.runner, max_output_bytes=self._limits.max_output_bytes
        )
        if size > self._max_params_bytes:
            limit = self._max_params_bytes
            reason = f"the parameters are limited to {limit} bytes, got {size} bytes"
            flight.finish(RunOutcome(status=Status.FAILED, reason=reason))
            self._lanes.release(flight)
            return
        self._flights.add(flight, self._time())
        self.empty.clear()
        if request.timeout_seconds > 0:
            seconds = request.timeout_seconds + self._limits.timeout_slack_seconds
            self._set_deadline(flight, seconds, Status.TIMEOUT)
        link.send(message, size)

    def _set_deadline(self, flight: Flight, seconds: float, status: Status) -> None:
        deadline = self._time() + seconds
        if deadline < flight.deadline:
            flight.deadline = deadline
            flight.late_status = status

    def _ended(self, flight: Flight) -> None:
        self._lanes.release(flight)
        if not len(self._flights):
            self._idle_since = self._time()
            self.empty.set()
        if flight.refused and not flight.over:
            self._send_again(flight)
        elif self._link is not None and len(self._lanes):
            self._pump()

    def _send_again(self, flight: Flight) -> None:
        """The plugin has fewer slots than it said: try when one is free, or in a while."""
        flight.refused = False
        self._lanes.push_back(flight)
        loop = asyncio.get_running_loop()
        loop.call_later(self._limits.refused_retry_seconds, self._pump)

    def _plan_sweep(self) -> None:
        seconds = min(SWEEP_SECONDS, self._limits.heartbeat_seconds / 2)
        if self._idle_seconds:
            seconds = min(seconds, self._idle_seconds)
        self._sweeper = asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        now, link = self._time(), self._link
        assert link is not None
        self._plan_sweep()
        for flight in self._flights.give_up_late(now, self._limits.silence_seconds):
            link.cancel(flight.request.run_id, "")
        if self._flights.all_overdue:
            self._on_stuck()
        elif not len(self._flights) and 0 < self._idle_seconds <= now - self._idle_since:
            self._on_idle()
