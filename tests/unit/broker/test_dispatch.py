"""Executions from acceptance to their final state."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from whimbrel import errors
from whimbrel.broker.dispatch import Dispatcher, Limits
from whimbrel.broker.outbox import Outbox
from whimbrel.broker.records import CONTENT_VERSIONS, EXECUTIONS, OUTPUTS, ContentVersion
from whimbrel.broker.stream import Stream
from whimbrel.broker.views import Versions
from whimbrel.bus.memory import MemoryBus
from whimbrel.model import (
    Execution,
    LogEntry,
    OutputChunk,
    RunnerOffer,
    RunOutcome,
    RunRequest,
    Status,
)
from whimbrel.store.memory import MemoryStore
from whimbrel.testing import CountedIds, FakeHost, FixedClock

NOW = "2026-01-31T09:30:00.000000Z"
VERSION = ContentVersion(key="v1", action={"ref": "core.local", "parameters": {}}, runner={})


class Requests:
    """Makes a minimal request; refuses what a test names."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.ended: list[str] = []

    def run_request(self, execution: Execution) -> RunRequest:
        """Return a request without parameters."""
        if execution.id in self.refused:
            raise errors.InvalidInput("does not resolve", place="/parameters/cmd")
        return RunRequest(
            run_id=execution.id,
            attempt=1,
            runner=execution.runner_type,
            action_ref=execution.action_ref,
            pack="core",
            pack_path="",
            entry_point="",
            user="tester",
            runner_parameters={},
            action_parameters={},
            action_schema={},
            timeout_seconds=60,
        )

    def run_ended(self, execution_id: str) -> None:
        """Note it."""
        self.ended.append(execution_id)


class Bench:
    """A dispatcher with everything around it."""

    def __init__(self, host: FakeHost | None = None, limits: Limits | None = None) -> None:
        self.clock = FixedClock()
        self.ids = CountedIds()
        self.store = MemoryStore()
        self.bus = MemoryBus(self.clock)
        self.host = host or FakeHost()
        self.outbox = Outbox(self.store, self.bus, self.ids)
        self.stream = Stream()
        self.requests = Requests()
        self.dispatcher = Dispatcher(
            self.store,
            self.host,
            self.outbox,
            self.stream,
            Versions(self.store),
            self.requests,
            self.clock,
            self.ids,
            limits or Limits(),
        )

    def execution(self, status: Status = Status.REQUESTED, **fields: Any) -> Execution:
        """Return a new execution."""
        return Execution(
            id=self.ids.object_id(),
            liveaction_id=self.ids.object_id(),
            action_ref="core.local",
            action_version=VERSION.key,
            runner_type="local-shell-cmd",
            status=status,
            start_timestamp=NOW,
            context={"user": "tester"},
            log=(LogEntry(Status.REQUESTED, NOW),),
            **fields,
        )

    async def keep(self, *executions: Execution) -> None:
        """Store executions as they are."""
        ops = [EXECUTIONS.put(e) for e in executions]
        await self.store.commit([CONTENT_VERSIONS.put(VERSION), *ops])

    async def submit(self, execution: Execution) -> None:
        """Accept an execution as the application does."""
        await self.keep(execution)
        self.dispatcher.submit(execution)

    def stored(self, execution: Execution) -> Execution:
        """Return the execution as it is in the store."""
        found = EXECUTIONS.get(self.store, execution.id)
        assert found is not None
        return found

    async def until(self, done: Callable[[], bool]) -> None:
        """Return once `done` says so."""
        async with asyncio.timeout(5):
            while not done():
                await asyncio.sleep(0.001)

    async def ended(self, execution: Execution) -> Execution:
        """Return the execution once it has ended."""
        await self.until(lambda: self.stored(execution).end_timestamp is not None)
        return self.stored(execution)


def drive(bench: Bench, scenario: Callable[[Bench], Awaitable[None]]) -> None:
    """Run the scenario beside the dispatcher's life."""

    async def run() -> None:
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            life = tasks.create_task(bench.dispatcher.run(ready))
            await ready.wait()
            await scenario(bench)
            life.cancel()

    asyncio.run(run())


def test_an_execution_runs_to_its_result() -> None:
    """A requested execution enters every state and ends with the runner's result."""

    async def scenario(bench: Bench) -> None:
        execution = bench.execution()
        await bench.submit(execution)
        ended = await bench.ended(execution)

        assert Status.SUCCEEDED == ended.status
        assert ["requested", "scheduled", "running", "succeeded"] == [e.status for e in ended.log]
        assert {"ok": True} == msgspec.json.decode(ended.result)
        assert [execution.id] == bench.requests.ended

    drive(Bench(), scenario)


def test_every_state_is_announced_once() -> None:
    """The outbox holds one announcement for each state that was entered."""

    async def scenario(bench: Bench) -> None:
        execution = bench.execution()
        await bench.submit(execution)
        await bench.ended(execution)
        async with asyncio.TaskGroup() as tasks:
            draining = tasks.create_task(bench.outbox.drain())
            await bench.until(lambda: len(bench.bus.announced) >= 3)
            draining.cancel()

        states = [a.subject.split(".")[2] for a in bench.bus.announced]
        assert ["scheduled", "running", "succeeded"] == states

    drive(Bench(), scenario)


def test_output_is_stored_in_order() -> None:
    """What a run prints is stored; a character split over two pieces comes out whole."""

    async def scenario(bench: Bench) -> None:
        bench.host.output = (
            OutputChunk(channel="stdout", data=b"caf\xc3", offset=0),
            OutputChunk(channel="stdout", data=b"\xa9\n", offset=4),
        )
        execution = bench.execution()
        await bench.submit(execution)
        await bench.ended(execution)

        kept = OUTPUTS.page(bench.store, limit=9, prefix=execution.id, ascending=True)
        assert "café\n" == "".join(o.data for o in kept)

    drive(Bench(), scenario)


def test_more_than_the_slots_wait_their_turn() -> None:
    """Beyond the active maximum executions wait, and run in the order they came."""

    async def scenario(bench: Bench) -> None:
        bench.host.gate.clear()
        executions = [bench.execution() for _ in range(5)]
        for execution in executions:
            await bench.submit(execution)
        await bench.until(lambda: len(bench.host.requests) == 2)

        assert 3 == bench.dispatcher.queued()

        bench.host.gate.set()
        for execution in executions:
            await bench.ended(execution)
        assert [e.id for e in executions] == [r.run_id for r in bench.host.requests]

    drive(Bench(limits=Limits(active_max=2)), scenario)


def test_a_full_queue_refuses_by_name() -> None:
    """At the limit of waiting executions a new one is refused, naming the limit."""

    async def scenario(bench: Bench) -> None:
        bench.host.gate.clear()
        for _ in range(2):
            await bench.submit(bench.execution())

        with pytest.raises(errors.Unavailable, match="max_queued_executions is 1"):
            bench.dispatcher.admit()
        bench.host.gate.set()

    drive(Bench(limits=Limits(active_max=1, queued_max=1)), scenario)


def test_a_running_execution_is_canceled_through_its_runner() -> None:
    """Cancel goes to the runner; the execution passes `canceling` and says who canceled it."""

    async def scenario(bench: Bench) -> None:
        bench.host.gate.clear()
        execution = bench.execution()
        await bench.submit(execution)
        await bench.until(lambda: bool(bench.host.requests))
        live = bench.dispatcher.live(execution.id)
        assert live is not None
        canceling = await bench.dispatcher.cancel(live, user="boss")
        ended = await bench.ended(execution)

        assert Status.CANCELING == canceling.status
        assert Status.CANCELED == ended.status
        result = msgspec.json.decode(ended.result)
        assert {"message": "Action canceled by user.", "user": "boss"} == result

    drive(Bench(), scenario)


def test_a_waiting_execution_is_canceled_at_once() -> None:
    """An execution that still waits ends as canceled and never runs."""

    async def scenario(bench: Bench) -> None:
        bench.host.gate.clear()
        first, second = bench.execution(), bench.execution()
        await bench.submit(first)
        await bench.submit(second)
        await bench.dispatcher.cancel(second, user="boss")
        bench.host.gate.set()
        await bench.ended(first)

        assert Status.CANCELED == bench.stored(second).status
        assert [first.id] == [r.run_id for r in bench.host.requests]

    drive(Bench(limits=Limits(active_max=1)), scenario)


def test_parameters_that_do_not_resolve_fail_the_execution() -> None:
    """An execution whose parameters cannot be completed fails with the reason."""

    async def scenario(bench: Bench) -> None:
        execution = bench.execution()
        bench.requests.refused.add(execution.id)
        await bench.submit(execution)
        ended = await bench.ended(execution)

        assert Status.FAILED == ended.status
        assert {"error": "/parameters/cmd: does not resolve"} == msgspec.json.decode(ended.result)

    drive(Bench(), scenario)


def test_what_ran_when_the_broker_died_is_abandoned_with_the_reason() -> None:
    """After a restart a scheduled or running execution ends as abandoned and is not run again."""
    bench = Bench()
    lost = [bench.execution(Status.RUNNING), bench.execution(Status.SCHEDULED)]

    async def prepare() -> None:
        await bench.keep(*lost)

    asyncio.run(prepare())

    async def scenario(bench: Bench) -> None:
        for execution in lost:
            ended = await bench.ended(execution)
            assert Status.ABANDONED == ended.status
            assert b"broker stopped while" in bytes(ended.result)
        assert [] == bench.host.requests

    drive(bench, scenario)


def test_what_waited_when_the_broker_died_runs() -> None:
    """After a restart a requested execution runs, and so does a scheduled one that is idempotent."""
    offer = RunnerOffer(name="local-shell-cmd", plugin="shell", idempotent=True)
    bench = Bench(FakeHost(offers=[offer]))
    waiting = [bench.execution(Status.REQUESTED), bench.execution(Status.SCHEDULED)]

    async def prepare() -> None:
        await bench.keep(*waiting)

    asyncio.run(prepare())

    async def scenario(bench: Bench) -> None:
        for execution in waiting:
            assert Status.SUCCEEDED == (await bench.ended(execution)).status

    drive(bench, scenario)


def test_the_runners_verdict_stands() -> None:
    """Status and result are the runner's; a reason without result becomes the error."""

    async def scenario(bench: Bench) -> None:
        bench.host.behaviour = lambda _: RunOutcome(
            status=Status.ABANDONED, reason="plugin shell died: exit 9"
        )
        execution = bench.execution()
        await bench.submit(execution)
        ended = await bench.ended(execution)

        assert Status.ABANDONED == ended.status
        assert {"error": "plugin shell died: exit 9"} == msgspec.json.decode(ended.result)

    drive(Bench(), scenario)
