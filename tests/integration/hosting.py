"""A plugin host for a test, with plugins from the tests' own folder or written on the spot."""

import asyncio
import contextlib
import os
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whimbrel.app.world import RandomChance, RandomIds, SystemClock
from whimbrel.host.backoff import BackOffLimits
from whimbrel.host.limits import HostLimits
from whimbrel.host.plugins import PluginHost
from whimbrel.host.port import PluginStatus
from whimbrel.model import OutputChunk, RunOutcome, RunRequest

PLUGINS = Path(__file__).parent / "plugins"
QUICK = HostLimits(
    heartbeat_seconds=0.1,
    timeout_slack_seconds=0.1,
    cancel_slack_seconds=0.2,
    drain_seconds=0.2,
    handshake_seconds=1,
    refused_retry_seconds=0.01,
    back_off=BackOffLimits(first_seconds=0.01, cap_seconds=0.05),
)


@dataclass
class Hosted:
    """A host, and what its runs said."""

    host: PluginHost
    output: dict[str, list[OutputChunk]] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)

    async def run(
        self,
        run_id: str,
        runner: str = "probe.echo",
        *,
        timeout_seconds: float = 60,
        attempt: int = 1,
        **parameters: Any,
    ) -> RunOutcome:
        """Run to the end, keeping the output."""
        request = RunRequest(
            run_id=run_id,
            attempt=attempt,
            runner=runner,
            action_ref="tests.probe",
            pack="tests",
            pack_path="",
            entry_point="",
            user="tester",
            runner_parameters={},
            action_parameters=parameters,
            action_schema={},
            timeout_seconds=timeout_seconds,
            env={"GIVEN": "yes"},
        )
        chunks = self.output.setdefault(run_id, [])
        return await self.host.run(request, lambda: self.started.append(run_id), chunks.extend)

    def printed(self, run_id: str, channel: str = "stdout") -> bytes:
        """Return what a run has printed so far."""
        chunks = self.output.get(run_id, [])
        return b"".join(chunk.data for chunk in chunks if chunk.channel == channel)

    def status(self, name: str = "probe") -> PluginStatus:
        """Return how a plugin is."""
        return next(status for status in self.host.statuses() if status.name == name)


@contextlib.asynccontextmanager
async def hosted(*folders: Path, limits: HostLimits = QUICK) -> AsyncIterator[Hosted]:
    """Open a host over the folders, the tests' own plugins when there are none."""
    async with PluginHost(
        folders or [PLUGINS],
        clock=SystemClock(),
        ids=RandomIds(),
        chance=RandomChance(),
        environment=dict(os.environ),
        host_version="0.1.0",
        limits=limits,
    ) as host:
        yield Hosted(host)


def with_host(
    body: Callable[[Hosted], Awaitable[None]], *folders: Path, limits: HostLimits = QUICK
) -> None:
    """Run a test's body with a host."""

    async def main() -> None:
        async with hosted(*folders, limits=limits) as ready:
            await body(ready)

    asyncio.run(main())


def plugin_folder(
    root: Path, program: str = "", *, command: str = "python, odd_runner.py", more: str = ""
) -> Path:
    """Write the plugin `odd`, which has the runner `odd.run`; return the folder to search."""
    folder = root / "odd"
    folder.mkdir()
    (folder / "plugin.yaml").write_text(
        f"name: odd\nkind: runner\nversion: 0.1.0\ncommand: [{command}]\n{more}"
        "runners:\n  - name: odd.run\n"
    )
    (folder / "odd_runner.py").write_text(textwrap.dedent(program))
    return root


def raw_plugin(root: Path, fault: str) -> Path:
    """Write the plugin `odd`, made without the SDK, with something wrong about it."""
    return plugin_folder(root, command=f"python, {PLUGINS / 'raw_plugin.py'}, {fault}")


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for a condition that nobody announces."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come"
        await asyncio.sleep(0.005)


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
