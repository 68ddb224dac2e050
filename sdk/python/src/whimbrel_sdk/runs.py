"""The runs of a plugin: started, watched, ended. Knows no transport."""

import asyncio
import contextlib
import traceback
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import msgspec

from whimbrel_sdk.output import OutputBuffer
from whimbrel_sdk.plugin import Plugin, RunnerDefinition
from whimbrel_sdk.run import FailureKind, Outcome, Run, Status

DEFAULT_HEARTBEAT_SECONDS = 5.0
DEFAULT_MESSAGE_BYTES = 16 * 1024 * 1024
MESSAGE_RESERVE_BYTES = 64 * 1024
"""What a message needs beside the result it carries."""

TIMEOUT_SLACK_SECONDS = 1.0
"""Runners that watch their own time come first: their result says more than ours."""

SWEEP_SECONDS = 0.5
"""At least this often, while there are runs, deadlines and silence are looked at."""

NEVER = float("inf")
REMEMBERED_RUNS = 256
REMEMBERED_BYTES = 1024 * 1024


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a run, ready for a transport. `result` is JSON text."""

    status: Status
    result: bytes = b"null"
    kind: FailureKind | None = None
    message: str = ""
    stack_trace: str = ""
    output_truncated: bool = False


class Sink(Protocol):
    """A transport's stream of events to the host. Nothing here blocks but `drained`."""

    def started(self, run_id: str, *, duplicate: bool) -> None:
        """Say that the run goes on; `duplicate` when it did already."""
        ...

    def output(self, run_id: str, channel: str, data: bytes, offset: int) -> None:
        """Pass a chunk on."""
        ...

    def heartbeat(self, run_id: str) -> None:
        """Say that a silent run lives."""
        ...

    def ended(self, run_id: str, ended: Ended) -> None:
        """Say how the run ended; its last event."""
        ...

    async def drained(self) -> None:
        """Wait until the host has read most of what was passed on."""
        ...


class Execution:
    """A run under way: its task, timers, output and the streams that follow it."""

    def __init__(self, run: Run, definition: RunnerDefinition, sink: Sink, now: float) -> None:
        self.run = run
        self.definition = definition
        self.sinks = [sink]
        self.task: asyncio.Task[None] | None = None
        self.last_event = now
        self.deadline = NEVER
        if run.timeout_seconds > 0:
            self.deadline = now + run.timeout_seconds + TIMEOUT_SLACK_SECONDS
        self._buffer: OutputBuffer | None = None
        self._ending: Ended | None = None
        self._timer: asyncio.TimerHandle | None = None

    # -- the run's Output -------------------------------------------------------------------------

    def write(self, channel: str, data: bytes) -> None:
        """Take output of the run."""
        if self._buffer is None:
            self._buffer = OutputBuffer(self.run.output_options, self._emit)
        self._buffer.write(channel, data)

    async def drain(self) -> None:
        """Wait for the slowest stream."""
        for sink in tuple(self.sinks):
            await sink.drained()

    def flush(self) -> bool:
        """Emit what is left of the output; return whether some was dropped."""
        if self._buffer is None:
            return False
        self._buffer.flush()
        return self._buffer.truncated

    def _emit(self, channel: str, data: bytes, offset: int) -> None:
        self.last_event = asyncio.get_running_loop().time()
        for sink in self.sinks:
            sink.output(self.run.id, channel, data, offset)

    # -- its end ----------------------------------------------------------------------------------

    def expire(self) -> None:
        """End the run: its time is over, and its author did not see to that."""
        self.deadline = NEVER
        message = f"did not end within {self.run.timeout_seconds:g} s"
        self._force(Ended(status=Status.TIMED_OUT, kind=FailureKind.TIMEOUT, message=message))

    def cancel(self) -> None:
        """Ask the run to end; cancel its coroutine when it does not within its grace time."""
        if self.run.cancel_requested:
            return
        self.run.cancelled.set()
        loop, grace = asyncio.get_running_loop(), self.definition.cancel_grace_seconds
        self._timer = loop.call_later(grace, self.give_up, "was canceled")

    def give_up(self, message: str) -> None:
        """Cancel the run's coroutine: it was asked to end, and went on."""
        self._force(Ended(status=Status.CANCELED, kind=FailureKind.CANCELED, message=message))

    def stop_watching(self) -> None:
        """Forget the timer; the run has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _force(self, ending: Ended) -> None:
        self._ending = ending
        if self.task is not None:
            self.task.cancel()

    async def conclude(self) -> Ended:
        """Run the author's function; whatever it does becomes an end of this one run."""
        try:
            outcome = await self.definition.function(self.run)
            if not isinstance(outcome, Outcome):
                kind = type(outcome).__name__
                return _bug(f"runner {self.run.runner!r} returned {kind}, not an Outcome")
            return _ended(outcome)
        except asyncio.CancelledError:
            if self._ending is None:
                raise
            return self._ending
        except (Exception, SystemExit) as error:  # noqa: BLE001 - one run's fault stays its own
            return _bug(f"{type(error).__name__}: {error}", traceback.format_exc())


class RunTable:
    """Every run of the plugin. Runs are tasks of `tasks`, the group that outlives them."""

    def __init__(self, plugin: Plugin, tasks: asyncio.TaskGroup) -> None:
        self._plugin = plugin
        self._tasks = tasks
        self._active: dict[str, Execution] = {}
        self._busy: dict[str, int] = {}
        self._finished: OrderedDict[tuple[str, int], Ended] = OrderedDict()
        self._finished_bytes = 0
        self._draining = False
        self._heartbeat_seconds = DEFAULT_HEARTBEAT_SECONDS
        self._sweeper: asyncio.TimerHandle | None = None
        self._max_result_bytes = DEFAULT_MESSAGE_BYTES - MESSAGE_RESERVE_BYTES
        self._empty = asyncio.Event()
        self._empty.set()

    def configure(self, *, heartbeat_seconds: float, max_message_bytes: int) -> None:
        """Take the host's limits; 0 keeps the default. Undoes `drain`."""
        self._draining = False
        self._heartbeat_seconds = heartbeat_seconds or DEFAULT_HEARTBEAT_SECONDS
        message_bytes = min(max_message_bytes or DEFAULT_MESSAGE_BYTES, DEFAULT_MESSAGE_BYTES)
        self._max_result_bytes = max(0, message_bytes - MESSAGE_RESERVE_BYTES)

    def start(self, run: Run, sink: Sink) -> None:
        """Start the run, or join `sink` to it when it is known. A refusal is an end in-band."""
        if (known := self._active.get(run.id)) is not None:
            known.sinks.append(sink)
            sink.started(run.id, duplicate=True)
        elif (ended := self._finished.get((run.id, run.attempt))) is not None:
            sink.started(run.id, duplicate=True)
            sink.ended(run.id, ended)
        elif (refused := self.refusal(run)) is not None:
            sink.ended(run.id, refused)
        else:
            self._begin(run, sink)

    def _begin(self, run: Run, sink: Sink) -> None:
        now = asyncio.get_running_loop().time()
        execution = Execution(run, self._plugin.runners[run.runner], sink, now)
        run.attach(execution)
        self._active[run.id] = execution
        self._busy[run.runner] = self._busy.get(run.runner, 0) + 1
        self._empty.clear()
        if self._sweeper is None:
            self._plan_sweep()
        # The task comes first: its first step then runs before the sink's writer wakes up, and a
        # run that ends at once travels as one frame.
        execution.task = self._tasks.create_task(self._carry(execution))
        sink.started(run.id, duplicate=False)

    def refusal(self, run: Run) -> Ended | None:
        """Return why a new run cannot start now, or None."""
        definition = self._plugin.runners.get(run.runner)
        if definition is None:
            names = ", ".join(self._plugin.runners) or "none"
            message = f"no runner {run.runner!r} in plugin {self._plugin.name}; it has: {names}"
            return Ended(status=Status.FAILED, kind=FailureKind.INVALID_INPUT, message=message)
        limit, busy = definition.max_concurrency, self._busy.get(run.runner, 0)
        if self._draining:
            return _refused(f"plugin {self._plugin.name} is draining")
        if limit and busy >= limit:
            return _refused(f"runner {run.runner!r} is limited to {limit} runs at once")
        return None

    def cancel(self, run_id: str) -> bool:
        """Ask the run to end; return whether it was known and going on."""
        execution = self._active.get(run_id)
        if execution is not None:
            execution.cancel()
        return execution is not None

    def leave(self, sink: Sink) -> None:
        """Forget a stream that ended; runs that nobody follows any more are canceled."""
        for execution in self._active.values():
            if sink in execution.sinks:
                execution.sinks.remove(sink)
                if not execution.sinks:
                    execution.cancel()

    def drain(self) -> Sequence[str]:
        """Refuse new runs; return the ids of those going on."""
        self._draining = True
        return tuple(self._active)

    async def shut_down(self, grace_seconds: float) -> None:
        """Cancel every run and wait for them, at most `grace_seconds`, before forcing them."""
        self.drain()
        for execution in tuple(self._active.values()):
            execution.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._empty.wait()
        for execution in tuple(self._active.values()):
            execution.give_up("the plugin was shut down")

    async def _carry(self, execution: Execution) -> None:
        ended = await execution.conclude()
        execution.stop_watching()
        truncated = execution.flush()
        self._forget(execution)
        ended = self._within_limits(ended, truncated=truncated)
        self._remember(execution.run, ended)
        for sink in execution.sinks:
            sink.ended(execution.run.id, ended)

    def _within_limits(self, ended: Ended, *, truncated: bool) -> Ended:
        size = len(ended.result)
        if size > self._max_result_bytes:
            limit = self._max_result_bytes
            ended = _bug(f"the result is limited to {limit} bytes, got {size} bytes")
        return msgspec.structs.replace(ended, output_truncated=True) if truncated else ended

    def _forget(self, execution: Execution) -> None:
        del self._active[execution.run.id]
        self._busy[execution.run.runner] -= 1
        if not self._active:
            self._empty.set()

    def _remember(self, run: Run, ended: Ended) -> None:
        self._finished[run.id, run.attempt] = ended
        self._finished_bytes += len(ended.result)
        while len(self._finished) > REMEMBERED_RUNS or self._finished_bytes > REMEMBERED_BYTES:
            _, oldest = self._finished.popitem(last=False)
            self._finished_bytes -= len(oldest.result)

    def _plan_sweep(self) -> None:
        """One timer watches all runs; there is none while there are no runs."""
        seconds = min(SWEEP_SECONDS, self._heartbeat_seconds / 2)
        self._sweeper = asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        """Speak for runs that were silent for most of the interval; end those out of time."""
        now = asyncio.get_running_loop().time()
        for run_id, execution in self._active.items():
            if now >= execution.deadline:
                execution.expire()
            if now - execution.last_event >= self._heartbeat_seconds / 2:
                execution.last_event = now
                for sink in execution.sinks:
                    sink.heartbeat(run_id)
        self._sweeper = None
        if self._active:
            self._plan_sweep()


def _ended(outcome: Outcome) -> Ended:
    try:
        result = msgspec.json.encode(outcome.result)
    except (TypeError, ValueError, OverflowError) as error:
        return _bug(f"the result is nothing that JSON can say: {error}", traceback.format_exc())
    return Ended(
        status=outcome.status,
        result=result,
        kind=outcome.kind,
        message=outcome.message,
        stack_trace=outcome.stack_trace,
    )


def _bug(message: str, stack_trace: str = "") -> Ended:
    return Ended(
        status=Status.FAILED,
        kind=FailureKind.PLUGIN_BUG,
        message=message,
        stack_trace=stack_trace,
    )


def _refused(message: str) -> Ended:
    return Ended(status=Status.FAILED, kind=FailureKind.RESOURCE_EXHAUSTED, message=message)
