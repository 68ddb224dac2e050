"""Run a runner inside a test, with the SDK's own rules and no process."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec

from whimbrel_sdk.plugin import Plugin
from whimbrel_sdk.run import STDERR, STDOUT, FailureKind, Run, Status
from whimbrel_sdk.runs import Ended, RunTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a run ended, and all that it wrote."""

    status: Status
    result: Any
    kind: FailureKind | None
    message: str
    stack_trace: str
    output_truncated: bool
    stdout: bytes
    stderr: bytes


@dataclass(eq=False)
class _Collector:
    cancel_on_output: bytes | None
    table: RunTable | None = None
    channels: dict[str, bytearray] = field(
        default_factory=lambda: {STDOUT: bytearray(), STDERR: bytearray()}
    )
    end: Ended | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def started(self, run_id: str, *, duplicate: bool) -> None:
        """Nothing to keep."""

    def output(self, run_id: str, channel: str, data: bytes, offset: int) -> None:
        """Keep it, and cancel if this is what the test waits for."""
        self.channels[channel].extend(data)
        wanted = self.cancel_on_output
        if wanted is not None and wanted in self.channels[channel] and self.table is not None:
            self.table.cancel(run_id)

    def heartbeat(self, run_id: str) -> None:
        """Nothing to keep."""

    def ended(self, run_id: str, ended: Ended) -> None:
        """Keep the end."""
        self.end = ended
        self.over.set()

    async def drained(self) -> None:
        """A test reads at once."""


def run_once(
    plugin: Plugin,
    runner: str,
    params: dict[str, Any] | None = None,
    *,
    action_params: dict[str, Any] | None = None,
    action_schema: dict[str, Any] | None = None,
    cancel_on_output: bytes | None = None,
    **fields: Any,
) -> Finished:
    """Run `runner` of `plugin` to its end. `fields` are further attributes of `Run`."""
    run = Run(
        **{"id": "test-run", **fields},
        runner=runner,
        params_json=msgspec.json.encode(params or {}),
        action_params_json=msgspec.json.encode(action_params or {}),
        action_schema_json=msgspec.json.encode(action_schema or {}),
    )
    return asyncio.run(_run(plugin, run, _Collector(cancel_on_output)))


async def _run(plugin: Plugin, run: Run, collector: _Collector) -> Finished:
    async with asyncio.TaskGroup() as tasks:
        collector.table = table = RunTable(plugin, tasks)
        table.start(run, collector)
        await collector.over.wait()
    ended = collector.end
    assert ended is not None
    return Finished(
        status=ended.status,
        result=msgspec.json.decode(ended.result),
        kind=ended.kind,
        message=ended.message,
        stack_trace=ended.stack_trace,
        output_truncated=ended.output_truncated,
        stdout=bytes(collector.channels[STDOUT]),
        stderr=bytes(collector.channels[STDERR]),
    )
