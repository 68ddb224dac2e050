"""One plugin's life: started when wanted, watched while it runs, started again when it dies."""

import asyncio
import enum
from collections.abc import Mapping

import grpc.aio
import msgspec
import structlog

from whimbrel import errors, seams
from whimbrel.host.backoff import BackOff
from whimbrel.host.flight import Flight
from whimbrel.host.launch import (
    LaunchFolder,
    PluginProcess,
    launch,
    remove_stale_folders,
    runtime_root,
)
from whimbrel.host.limits import HostLimits
from whimbrel.host.lines import PluginLog
from whimbrel.host.manifest import InstalledPlugin
from whimbrel.host.port import PluginFailed, PluginStatus
from whimbrel.host.session import (
    CallLink,
    Disagreement,
    Greeting,
    Link,
    SessionLink,
    ask_to_drain,
    ask_to_shut_down,
    dial,
    shake_hands,
)
from whimbrel.host.traffic import Traffic
from whimbrel.model import RunOutcome, Status

log = structlog.get_logger(__name__)

PARTING_SECONDS = 1.0
"""For a call that only announces the end, and for a dying process to be seen dead."""


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What supervision needs of the world."""

    clock: seams.Clock
    ids: seams.Ids
    chance: seams.Chance
    environment: Mapping[str, str]
    host_version: str


class End(enum.Enum):
    """Why a ready plugin's service ends."""

    EXITED = "exited"
    LINK_BROKEN = "link broken"
    STUCK = "stuck"
    IDLE = "idle"
    STOPPED = "stopped"


class Supervisor:
    """Keeps one plugin. `supervise` is its life, as one task; the rest may be called any time."""

    def __init__(self, plugin: InstalledPlugin, limits: HostLimits, world: World) -> None:
        self.plugin = plugin
        self._manifest = plugin.manifest
        self._limits = limits
        self._world = world
        self._traffic = Traffic(
            plugin.manifest,
            limits,
            on_idle=lambda: self._finish(End.IDLE),
            on_stuck=lambda: self._finish(End.STUCK),
        )
        self._back_off = BackOff(limits.back_off, world.chance)
        self._state = "idle"
        self._message = ""
        self._restarts = 0
        self._ready_since: float | None = None
        self._process: PluginProcess | None = None
        self._wanted = asyncio.Event()
        self._stopping = asyncio.Event()
        self._end: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    # -- what the host asks -----------------------------------------------------------------------

    def status(self) -> PluginStatus:
        """Return how the plugin is."""
        return PluginStatus(
            name=self._manifest.name,
            kind=self._manifest.kind,
            version=self._manifest.version,
            state=self._state,
            pid=self._process.pid if self._process is not None else None,
            restarts=self._restarts,
            active_runs=self._traffic.active,
            message=self._message,
            path=str(self.plugin.folder),
        )

    def want(self) -> None:
        """Have the plugin started, if it is not."""
        self._wanted.set()

    def submit(self, flight: Flight) -> None:
        """Take a run; it is sent when the plugin is ready and has a slot. Raises NoSlot."""
        if self._stopping.is_set():
            flight.finish(self._stopped())
            return
        self._wanted.set()
        self._traffic.submit(flight)

    def cancel(self, flight: Flight, user: str) -> None:
        """Ask for the end of a run."""
        self._traffic.cancel(flight, user)

    def stop(self) -> None:
        """End the plugin in good order; `supervise` returns when that is done."""
        self._stopping.set()
        self._wanted.set()
        self._finish(End.STOPPED)

    @property
    def _is_wanted(self) -> bool:
        """Whether there is a reason to start, or to look why not."""
        kept_warm = self._manifest.min_instances > 0
        return kept_warm or self._traffic.waiting > 0 or self._stopping.is_set()

    # -- its life ---------------------------------------------------------------------------------

    async def supervise(self) -> None:
        """Start the plugin whenever it is wanted, for ever, until `stop`."""
        await self._wanted.wait()
        while not self._stopping.is_set():
            try:
                await self._live()
                self._state = "idle"
                delay_seconds = 0.0
            except (PluginFailed, errors.LimitExceeded, OSError) as error:
                delay_seconds = self._failed(error)
            if not self._is_wanted:
                self._wanted.clear()
            await self._pause(delay_seconds)
            await self._wanted.wait()
        self._state = "stopped"
        self._traffic.end_waiting(self._stopped())

    def _failed(self, error: Exception) -> float:
        """Tell everybody why; return how long to wait before the next start."""
        report = str(error)
        if isinstance(error, PluginFailed) and error.last_lines:
            report = "\n".join([f"{report}; it said last:", *error.last_lines])
        ready_seconds = 0.0
        if self._ready_since is None:
            self._traffic.end_waiting(RunOutcome(status=Status.FAILED, reason=report))
        else:
            ready_seconds = self._world.clock.monotonic() - self._ready_since
        self._traffic.end_active(RunOutcome(status=Status.ABANDONED, reason=report))
        self._restarts += 1
        self._state, self._message = "waiting", report
        delay_seconds = self._back_off.next_delay_seconds(ready_seconds)
        log.warning(
            "plugin failed",
            plugin=self._manifest.name,
            reason=str(error),
            again_in_seconds=delay_seconds,
        )
        return delay_seconds

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _live(self) -> None:
        """Start the plugin and serve until its end. Raises when nobody asked for the end."""
        self._state, self._ready_since = "starting", None
        self._end = asyncio.get_running_loop().create_future()
        if self._stopping.is_set():
            return
        world, name = self._world, self._manifest.name
        instance_id = world.ids.uuid()
        plugin_log = PluginLog(
            world.clock, lambda line: log.info("plugin says", plugin=name, line=line)
        )
        root = runtime_root(world.environment)
        remove_stale_folders(root, world.clock.now().timestamp())
        with LaunchFolder(root, world.ids) as folder:
            process = await launch(
                self.plugin,
                socket_path=folder.socket,
                instance_id=instance_id,
                environment=world.environment,
                log=plugin_log,
            )
            self._process = process
            process.exited.add_done_callback(lambda _: self._finish(End.EXITED))
            try:
                address = await process.ready(self._manifest.start_timeout)
                if address != f"unix:{folder.socket}":
                    raise process.failure(f"announced {address}, not the socket it was given")
                async with dial(address) as channel:
                    await self._serve(channel, process, instance_id)
            finally:
                self._process = None
                await process.stop(self._manifest.stop_grace)

    async def _serve(
        self, channel: grpc.aio.Channel, process: PluginProcess, instance_id: str
    ) -> None:
        greeting = await self._greet(channel, process, instance_id)
        async with asyncio.TaskGroup() as tasks:
            link = self._link(channel, greeting, tasks)
            carrying = tasks.create_task(link.carry())
            carrying.add_done_callback(lambda _: self._finish(End.LINK_BROKEN))
            self._state, self._message = "ready", ""
            self._ready_since = self._world.clock.monotonic()
            self._traffic.open(link, greeting)
            try:
                end = await self._end
                if end in {End.IDLE, End.STOPPED}:
                    await self._part(channel, process)
            finally:
                self._traffic.close()
                carrying.cancel()
        if end not in {End.IDLE, End.STOPPED}:
            raise await self._post_mortem(process, end)

    def _link(
        self, channel: grpc.aio.Channel, greeting: Greeting, tasks: asyncio.TaskGroup
    ) -> Link:
        receive, frame_over = self._traffic.receive, self._traffic.frame_over
        if greeting.has_session:
            return SessionLink(channel, receive, frame_over)
        return CallLink(channel, receive, frame_over, tasks)

    async def _greet(
        self, channel: grpc.aio.Channel, process: PluginProcess, instance_id: str
    ) -> Greeting:
        try:
            return await shake_hands(
                channel,
                self._manifest,
                instance_id=instance_id,
                host_version=self._world.host_version,
                heartbeat_seconds=self._limits.heartbeat_seconds,
                timeout_seconds=self._limits.handshake_seconds,
            )
        except Disagreement as error:
            raise process.failure(str(error)) from error

    async def _part(self, channel: grpc.aio.Channel, process: PluginProcess) -> None:
        """Let runs end, then have the plugin end itself. What it does not do, `stop` enforces."""
        self._state = "stopping"
        grace = self._manifest.stop_grace
        try:
            await ask_to_drain(channel, PARTING_SECONDS)
            if self._traffic.active:
                await _wait(self._traffic.empty, self._limits.drain_seconds)
            self._traffic.end_active(self._stopped())
            await ask_to_shut_down(channel, grace_seconds=grace, timeout_seconds=PARTING_SECONDS)
            await process.wait(grace + PARTING_SECONDS)
        except grpc.aio.AioRpcError as error:
            log.warning("plugin left without a word", plugin=self._manifest.name, reason=str(error))
            self._traffic.end_active(self._stopped())

    async def _post_mortem(self, process: PluginProcess, end: End) -> PluginFailed:
        """Find out what happened."""
        if end is End.STUCK:
            return process.failure("was ended: all it had were runs that it did not end")
        if await process.wait(PARTING_SECONDS):
            return process.failure(await process.last_words())
        return process.failure("was ended: it closed its session")

    def _finish(self, end: End) -> None:
        """Send nothing more from this moment on: what comes now waits for the next life."""
        if not self._end.done():
            self._traffic.close()
            self._end.set_result(end)

    def _stopped(self) -> RunOutcome:
        reason = f"plugin {self._manifest.name} was stopped while the run went on"
        return RunOutcome(status=Status.ABANDONED, reason=reason)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
