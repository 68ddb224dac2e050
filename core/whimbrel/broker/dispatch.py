"""Carries executions from `requested` to a final state: queue, runner, output, result, recovery.

An execution is committed twice on the short path: when it is accepted (already `scheduled` when a slot
is free) and when it ends. A run that lasts longer than `RUNNING_SECONDS` is also committed as `running`.
What was `scheduled` or `running` when the broker died may have had effects, so it is not run again
unless its runner says that it is idempotent; it ends as `abandoned` with the reason.
"""

import asyncio
import codecs
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any, Protocol

import msgspec
import structlog

from whimbrel import errors
from whimbrel.broker.announce import execution_announcement
from whimbrel.broker.outbox import Outbox
from whimbrel.broker.records import EXECUTIONS, OUTPUTS
from whimbrel.broker.stream import Stream
from whimbrel.broker.views import Versions, execution_document
from whimbrel.bus import Announcement
from whimbrel.host import Host
from whimbrel.model import (
    COMPLETED,
    Execution,
    LogEntry,
    OutputChunk,
    OutputRecord,
    RunOutcome,
    RunRequest,
    Status,
    timestamp,
)
from whimbrel.seams import Clock, Ids
from whimbrel.store import Op, Store, StoreFull

RUNNING_SECONDS = 0.05
"""A run that is over sooner is not committed as `running` of its own, only in its log."""

OUTPUT_FLUSH_SECONDS = 0.2
"""How long output may be visible live before it is durable."""

OUTPUT_OPS_MAX = 500
"""Pieces of output in one commit; a run that prints more of them at once needs several."""

FULL_RETRY_SECONDS = 1.0
"""How often a result that does not fit is tried again when the disk is full."""

OUTPUT_EVENT = "st2.execution.output__create"
REST_POLL_SECONDS = 0.02

UNFINISHED = (
    Status.REQUESTED,
    Status.DELAYED,
    Status.SCHEDULED,
    Status.RUNNING,
    Status.CANCELING,
)

log = structlog.get_logger(__name__)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the dispatcher takes on."""

    active_max: int = 256
    queued_max: int = 100_000


class Requests(Protocol):
    """Makes the request for a runner out of an execution."""

    def run_request(self, execution: Execution) -> RunRequest:
        """Return the run with all parameters; raises `InvalidInput` when they cannot be resolved."""
        ...

    def run_ended(self, execution_id: str) -> None:
        """Forget what was made for the run, such as its token."""
        ...


class _Run:
    """The live state of an execution that is being run."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.announced: list[Announcement] = []
        self.output: list[OutputRecord] = []
        self.decoders: dict[str, codecs.IncrementalDecoder] = {}
        self.timer: asyncio.TimerHandle | None = None

    def text(self, chunk: OutputChunk) -> str:
        """Decode a piece of output; a character split over pieces comes out whole with the later one."""
        decoder = self.decoders.get(chunk.channel)
        if decoder is None:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            self.decoders[chunk.channel] = decoder
        return decoder.decode(chunk.data)


class Dispatcher:
    """Runs executions; `run()` is its life."""

    def __init__(
        self,
        store: Store,
        host: Host,
        outbox: Outbox,
        stream: Stream,
        versions: Versions,
        requests: Requests,
        clock: Clock,
        ids: Ids,
        limits: Limits,
    ) -> None:
        self._store = store
        self._host = host
        self._outbox = outbox
        self._stream = stream
        self._versions = versions
        self._requests = requests
        self._clock = clock
        self._ids = ids
        self._limits = limits
        self._runs: dict[str, _Run] = {}
        self._reserved = 0
        self._queue: deque[str] = deque()
        self._tasks: asyncio.TaskGroup | None = None
        self._resting = False

    # -- life ---------------------------------------------------------------------------------------

    async def run(self, ready: asyncio.Event) -> None:
        """Recover what a former process left, then run what is submitted, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await self._recover()
                ready.set()
                await asyncio.get_running_loop().create_future()
            finally:
                self._stop_timers()

    def _stop_timers(self) -> None:
        """Let nothing start any more: the tasks that it would start are about to end."""
        self._resting = True
        for run in self._runs.values():
            if run.timer is not None:
                run.timer.cancel()

    async def _recover(self) -> None:
        idempotent = {offer.name for offer in self._host.offers() if offer.idempotent}
        for status in UNFINISHED:
            for execution in self._all(status):
                if status in (Status.REQUESTED, Status.DELAYED) or (
                    status is not Status.CANCELING and execution.runner_type in idempotent
                ):
                    self._resubmit(execution)
                elif status is Status.CANCELING:
                    await self._end_lost(
                        execution, Status.CANCELED, "canceled while the broker was down"
                    )
                else:
                    reason = f"the broker stopped while this execution was {status.value}"
                    await self._end_lost(execution, Status.ABANDONED, reason)

    def _all(self, status: Status) -> list[Execution]:
        total = self._store.count("execution", index=("status", status.value))
        selection = {"limit": max(total, 1), "index": ("status", status.value), "ascending": True}
        return EXECUTIONS.page(self._store, **selection)

    def _resubmit(self, execution: Execution) -> None:
        if execution.status is Status.DELAYED:
            self._delay(execution)
        else:
            self._queue.append(execution.id)
            self._pull()

    async def _end_lost(self, execution: Execution, status: Status, reason: str) -> None:
        run = _Run(execution)
        await self._end(run, RunOutcome(status=status, reason=reason))

    async def rest(self, grace_seconds: float) -> None:
        """Take up nothing more and let runs end; what is not over in time ends as `abandoned`."""
        self._resting = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_seconds
        while self._runs and loop.time() < deadline:  # noqa: ASYNC110  once, when the process ends
            await asyncio.sleep(REST_POLL_SECONDS)

    # -- acceptance ---------------------------------------------------------------------------------

    def admit(self, count: int = 1) -> None:
        """Refuse new executions when too many wait already."""
        waiting = len(self._queue)
        if waiting + count > self._limits.queued_max:
            raise errors.Unavailable(
                f"{waiting} executions wait already; max_queued_executions is {self._limits.queued_max}"
            )

    def reserve(self) -> bool:
        """Take a slot for an execution that is about to be committed as `scheduled`, if one is free."""
        if not self._has_slot() or self._queue:
            return False
        self._reserved += 1
        return True

    def release(self) -> None:
        """Give back a slot whose execution was not committed."""
        self._reserved -= 1
        self._pull()

    def submit(self, execution: Execution) -> None:
        """Take over an execution that is committed as requested, scheduled (reserved) or delayed."""
        if execution.status is Status.SCHEDULED:
            self._reserved -= 1
            self._start(execution)
        elif execution.status is Status.DELAYED:
            self._delay(execution)
        else:
            self._queue.append(execution.id)
            self._pull()

    def live(self, execution_id: str) -> Execution | None:
        """Return the newest state of an execution that is being run."""
        run = self._runs.get(execution_id)
        return None if run is None else run.execution

    def live_output(self, execution_id: str) -> Sequence[OutputRecord]:
        """Return what an execution printed that may not be in the store yet."""
        run = self._runs.get(execution_id)
        return () if run is None else tuple(run.output)

    def active(self) -> int:
        """Return how many executions are with a runner."""
        return len(self._runs)

    def queued(self) -> int:
        """Return how many executions wait for a slot."""
        return len(self._queue)

    def _has_slot(self) -> bool:
        return not self._resting and len(self._runs) + self._reserved < self._limits.active_max

    def _spawn(self, work: Any) -> None:
        assert self._tasks is not None, "submit before run"
        self._tasks.create_task(work)

    def _start(self, execution: Execution) -> None:
        run = _Run(execution)
        self._runs[execution.id] = run
        self._spawn(self._carry(run))

    def _pull(self) -> None:
        while self._queue and self._has_slot():
            self._reserved += 1
            self._spawn(self._schedule(self._queue.popleft()))

    async def _schedule(self, execution_id: str) -> None:
        execution = EXECUTIONS.get(self._store, execution_id)
        if execution is None or execution.status in COMPLETED:
            self.release()
            return
        run = _Run(self._entered(execution, Status.SCHEDULED))
        self._reserved -= 1
        self._runs[execution_id] = run
        await self._save_for_sure(run.execution, [execution_announcement(run.execution)], ())
        await self._carry(run)

    def _delay(self, execution: Execution) -> None:
        due = datetime.fromisoformat(execution.start_timestamp) + timedelta(
            milliseconds=execution.delay or 0
        )
        seconds = max(0.0, (due - self._clock.now()).total_seconds())
        asyncio.get_running_loop().call_later(seconds, self._delay_over, execution.id)

    def _delay_over(self, execution_id: str) -> None:
        self._queue.append(execution_id)
        self._pull()

    # -- one run ------------------------------------------------------------------------------------

    async def _carry(self, run: _Run) -> None:
        await self._end(run, await self._outcome(run))

    async def _outcome(self, run: _Run) -> RunOutcome:
        if run.execution.status is Status.CANCELING:
            return RunOutcome(status=Status.CANCELED)
        try:
            request = self._requests.run_request(run.execution)
        except errors.WhimbrelError as error:
            return RunOutcome(status=Status.FAILED, reason=str(error))
        return await self._host.run(
            request, lambda: self._started(run), lambda chunks: self._printed(run, chunks)
        )

    def _started(self, run: _Run) -> None:
        if run.execution.status is not Status.SCHEDULED:
            return
        run.execution = self._entered(run.execution, Status.RUNNING)
        run.announced.append(execution_announcement(run.execution))
        self._tell(run.execution, "update")
        loop = asyncio.get_running_loop()
        run.timer = loop.call_later(RUNNING_SECONDS, self._flush, run)

    def _flush(self, run: _Run) -> None:
        """Make durable what a longer run has shown so far."""
        run.timer = None
        self._spawn(self._save_progress(run))

    async def _save_progress(self, run: _Run) -> None:
        for _ in range(0, max(1, len(run.output)), OUTPUT_OPS_MAX):
            announced, output = tuple(run.announced), tuple(run.output[:OUTPUT_OPS_MAX])
            if not announced and not output:
                return
            try:
                await self._save(run.execution, announced, [OUTPUTS.put(o) for o in output])
            except StoreFull as error:
                log.warning(
                    "progress is not durable yet", execution=run.execution.id, reason=str(error)
                )
                return
            # What came meanwhile stands behind what was saved; readers never miss a piece in between.
            del run.announced[: len(announced)]
            del run.output[: len(output)]

    def _printed(self, run: _Run, chunks: Sequence[OutputChunk]) -> None:
        for channel, pieces in groupby(chunks, key=lambda chunk: chunk.channel):
            record = OutputRecord(
                id=self._ids.object_id(),
                execution_id=run.execution.id,
                action_ref=run.execution.action_ref,
                runner_ref=run.execution.runner_type,
                timestamp=timestamp(self._clock.now()),
                output_type=channel,
                data="".join(map(run.text, pieces)),
            )
            run.output.append(record)
            self._stream.publish(OUTPUT_EVENT, partial(msgspec.to_builtins, record))
        if run.timer is None:
            loop = asyncio.get_running_loop()
            run.timer = loop.call_later(OUTPUT_FLUSH_SECONDS, self._flush, run)

    async def _end(self, run: _Run, outcome: RunOutcome) -> None:
        if run.timer is not None:
            run.timer.cancel()
        run.execution = ended = self._ended(run.execution, outcome)
        announced = (*run.announced, execution_announcement(ended))
        output = [OUTPUTS.put(record) for record in run.output]
        while len(output) > OUTPUT_OPS_MAX:
            await self._commit_for_sure(ended.id, output[:OUTPUT_OPS_MAX])
            del output[:OUTPUT_OPS_MAX]
        await self._save_for_sure(ended, announced, output)
        self._requests.run_ended(ended.id)
        self._runs.pop(ended.id, None)
        self._tell(ended, "update")
        self._pull()

    def _ended(self, execution: Execution, outcome: RunOutcome) -> Execution:
        canceled = execution.status is Status.CANCELING and outcome.status is not Status.SUCCEEDED
        status = Status.CANCELED if canceled else outcome.status
        if status is Status.CANCELED:
            user = execution.context.get("cancelled_by")
            result = msgspec.json.encode({"message": "Action canceled by user.", "user": user})
        elif outcome.reason and outcome.result == b"null":
            result = msgspec.json.encode({"error": outcome.reason})
        else:
            result = outcome.result
        return self._entered(
            execution,
            status,
            result=msgspec.Raw(result),
            result_size=len(result),
            end_timestamp=timestamp(self._clock.now()),
        )

    # -- changes of state ---------------------------------------------------------------------------

    async def cancel(self, execution: Execution, *, user: str) -> Execution:
        """End an execution: at once when it waits, through its runner when it runs."""
        context = {**execution.context, "cancelled_by": user}
        run = self._runs.get(execution.id)
        if run is None:
            waiting = msgspec.structs.replace(execution, context=context)
            ended = self._ended(waiting, RunOutcome(status=Status.CANCELED))
            await self._save(ended, [execution_announcement(ended)])
            self._tell(ended, "update")
            return ended
        run.execution = self._entered(run.execution, Status.CANCELING, context=context)
        await self._save(run.execution, [execution_announcement(run.execution)])
        self._tell(run.execution, "update")
        canceling = run.execution
        await self._host.cancel(execution.id, user=user)
        return canceling

    def _entered(self, execution: Execution, status: Status, **changes: Any) -> Execution:
        entry = LogEntry(status, timestamp(self._clock.now()))
        return msgspec.structs.replace(
            execution, status=status, log=(*execution.log, entry), **changes
        )

    async def _save(
        self, execution: Execution, announced: Sequence[Announcement], ops: Sequence[Op] = ()
    ) -> None:
        await self._store.commit(self._writes(execution, announced, ops))
        self._outbox.committed()

    def _writes(
        self, execution: Execution, announced: Sequence[Announcement], ops: Sequence[Op]
    ) -> list[Op]:
        written: list[Op] = [EXECUTIONS.put(execution), *ops]
        if announced:
            written.append(self._outbox.op(announced))
        return written

    async def _save_for_sure(
        self, execution: Execution, announced: Sequence[Announcement], ops: Sequence[Op]
    ) -> None:
        await self._commit_for_sure(execution.id, self._writes(execution, announced, ops))
        self._outbox.committed()

    async def _commit_for_sure(self, execution_id: str, ops: Sequence[Op]) -> None:
        while True:
            try:
                await self._store.commit(ops)
            except StoreFull as error:
                log.error("a result waits for space", execution=execution_id, reason=str(error))
                await asyncio.sleep(FULL_RETRY_SECONDS)
            else:
                return

    def _tell(self, execution: Execution, change: str) -> None:
        self._stream.publish(f"st2.execution__{change}", lambda: self._document(execution))
        self._stream.publish(
            f"st2.liveaction__{change}", lambda: self._document(execution)["liveaction"]
        )

    def told_created(self, execution: Execution) -> None:
        """Tell subscribers of a new execution."""
        self._tell(execution, "create")

    def _document(self, execution: Execution) -> dict[str, Any]:
        return execution_document(execution, self._versions.get(execution.action_version))
