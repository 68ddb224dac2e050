"""The plugin host: every discovered plugin, and the runs that the broker gives them."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import structlog

from whimbrel import seams
from whimbrel.host.flight import Flight
from whimbrel.host.limits import DEFAULT_LIMITS, HostLimits
from whimbrel.host.manifest import Discovery, RefusedPlugin, discover
from whimbrel.host.port import OnOutput, OnStarted, PluginStatus
from whimbrel.host.supervise import Supervisor, World
from whimbrel.model import RunnerOffer, RunOutcome, RunRequest, Status

log = structlog.get_logger(__name__)


class PluginHost:
    """Launches and supervises plugins. An async context manager: leaving it stops them all.

    `folders` hold plugin folders. `environment` is the broker's own; plugins see little of it.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        clock: seams.Clock,
        ids: seams.Ids,
        chance: seams.Chance,
        environment: Mapping[str, str],
        host_version: str,
        limits: HostLimits = DEFAULT_LIMITS,
    ) -> None:
        self._folders = tuple(folders)
        self._limits = limits
        self._world = World(
            clock=clock,
            ids=ids,
            chance=chance,
            environment=environment,
            host_version=host_version,
        )
        self._tasks = asyncio.TaskGroup()
        self._found = Discovery((), ())
        self._offers: tuple[RunnerOffer, ...] = ()
        self._supervisors: dict[str, Supervisor] = {}
        self._by_runner: dict[str, tuple[Supervisor, str]] = {}
        self._flights: dict[str, tuple[Supervisor, Flight]] = {}

    async def __aenter__(self) -> "PluginHost":
        await self._tasks.__aenter__()
        self._found = discover(self._folders)
        for refused in self._found.refused:
            log.warning("plugin refused", path=str(refused.folder), reason=refused.reason)
        for plugin in self._found.plugins:
            if plugin.manifest.kind == "runner":
                supervisor = Supervisor(plugin, self._limits, self._world)
                self._supervisors[plugin.manifest.name] = supervisor
                for entry in plugin.manifest.runners:
                    for name in (entry.name, *entry.aliases):
                        self._by_runner[name] = (supervisor, entry.name)
                self._tasks.create_task(supervisor.supervise())
        self._offers = tuple(o for plugin in self._found.plugins for o in plugin.offers)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for supervisor in self._supervisors.values():
            supervisor.stop()
        await self._tasks.__aexit__(None, None, None)

    def warm(self) -> None:
        """Start, in the background, the plugins that want to be kept warm."""
        for supervisor in self._supervisors.values():
            if supervisor.plugin.manifest.min_instances:
                supervisor.want()

    def offers(self) -> Sequence[RunnerOffer]:
        """Return the runner types of all discovered plugins; starts nothing."""
        return self._offers

    def refused(self) -> Sequence[RefusedPlugin]:
        """Return the plugin folders whose manifest is wrong, with the reason."""
        return self._found.refused

    async def run(
        self, request: RunRequest, on_started: OnStarted, on_output: OnOutput
    ) -> RunOutcome:
        """Run to the end; see `port.Host.run`. A run id that is going on joins that run."""
        known = self._flights.get(request.run_id)
        if known is not None:
            return await known[1].joined()
        found = self._by_runner.get(request.runner)
        if found is None:
            names = ", ".join(sorted(self._by_runner)) or "none"
            reason = f"no plugin offers the runner {request.runner!r}; offered are: {names}"
            return RunOutcome(status=Status.FAILED, reason=reason)
        supervisor, runner = found
        flight = Flight(request, runner, on_started, on_output)
        supervisor.submit(flight)
        self._flights[request.run_id] = (supervisor, flight)
        try:
            return await flight.outcome
        except asyncio.CancelledError:
            supervisor.cancel(flight, "")
            raise
        finally:
            del self._flights[request.run_id]

    async def cancel(self, run_id: str, *, user: str) -> bool:
        """Ask the plugin to end the run; return whether it was known."""
        known = self._flights.get(run_id)
        if known is None:
            return False
        supervisor, flight = known
        supervisor.cancel(flight, user)
        return True

    def statuses(self) -> Sequence[PluginStatus]:
        """Return every discovered plugin, the refused ones too."""
        return [
            *(self._status(plugin.manifest.name) for plugin in self._found.plugins),
            *(
                PluginStatus(
                    name=refused.folder.name,
                    kind="",
                    version="",
                    state="refused",
                    message=refused.reason,
                    path=str(refused.folder),
                )
                for refused in self._found.refused
            ),
        ]

    def _status(self, name: str) -> PluginStatus:
        supervisor = self._supervisors.get(name)
        if supervisor is not None:
            return supervisor.status()
        plugin = next(p for p in self._found.plugins if p.manifest.name == name)
        return PluginStatus(
            name=name,
            kind=plugin.manifest.kind,
            version=plugin.manifest.version,
            state="idle",
            path=str(plugin.folder),
        )
