"""Plugins are warmed, stopped when idle or told to, and leave nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
from whimbrel.model import Status

from tests.integration.hosting import (
    PLUGINS,
    QUICK,
    Hosted,
    alive,
    hosted,
    plugin_folder,
    until,
    with_host,
)

ECHO = """\
    from whimbrel_sdk import Outcome, Plugin, serve
    plugin = Plugin(name="odd", version="0.1.0")
    @plugin.runner("odd.run")
    async def run(run):
        return Outcome.succeeded()
    serve(plugin)
    """
HOST_PROGRAM = """\
import asyncio, sys
from tests.integration.hosting import hosted

async def main():
    async with hosted() as ready:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ready.run("1", "probe.work", do="child"))
            while not ready.printed("1"):
                await asyncio.sleep(0.01)
            print(ready.status().pid, int(ready.printed("1")), flush=True)

asyncio.run(main())
"""


def test_an_idle_plugin_is_stopped_and_comes_back(tmp_path: Path) -> None:
    """After its idle time the process is gone; the next run starts another."""

    async def body(hosted: Hosted) -> None:
        await hosted.run("1", "odd.run")
        first = hosted.status("odd").pid
        assert first is not None
        await until(lambda: hosted.status("odd").state == "idle")
        assert not alive(first)
        assert Status.SUCCEEDED is (await hosted.run("2", "odd.run")).status
        assert 0 == hosted.status("odd").restarts

    with_host(body, plugin_folder(tmp_path, ECHO, more="idle_timeout: 0.1\n"))


def test_runs_while_a_plugin_is_being_stopped_are_not_lost(tmp_path: Path) -> None:
    """Whatever the moment, a run finds the plugin that goes or the one that comes."""

    async def body(hosted: Hosted) -> None:
        for number in range(12):
            assert Status.SUCCEEDED is (await hosted.run(str(number), "odd.run")).status
            await asyncio.sleep(0.01 * (number % 4))

    with_host(body, plugin_folder(tmp_path, ECHO, more="idle_timeout: 0.01\n"))


def test_a_warm_plugin_is_there_before_the_first_run_and_stays(tmp_path: Path) -> None:
    """`min_instances: 1` starts with the host and never stops for idleness."""

    async def body(hosted: Hosted) -> None:
        hosted.host.warm()
        await until(lambda: hosted.status("odd").state == "ready")
        pid = hosted.status("odd").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: hosted.status("odd").pid not in {pid, None})
        await until(lambda: hosted.status("odd").state == "ready")
        assert 1 == hosted.status("odd").restarts

    with_host(body, plugin_folder(tmp_path, ECHO, more="min_instances: 1\nidle_timeout: 0.01\n"))


def test_leaving_the_host_stops_every_plugin_and_removes_its_socket() -> None:
    """No process and no socket is left, and it takes no grace time."""

    async def main() -> None:
        async with hosted() as ready:
            await ready.run("1")
            pid = ready.status().pid
            assert pid is not None
            socket = Path(f"/proc/{pid}/environ").read_bytes().partition(b"LISTEN=unix:")[2]
            path = Path(os.fsdecode(socket.partition(b"\0")[0]))
            assert path.is_socket()
            assert 0o700 == path.parent.stat().st_mode & 0o777
            started = time.monotonic()
        assert time.monotonic() - started < 1
        assert not alive(pid)
        assert not path.parent.exists()
        assert "stopped" == ready.status().state

    asyncio.run(main())


def test_runs_in_flight_are_abandoned_when_the_host_stops() -> None:
    """They get a little time; then the outcome says why there is no result."""

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks, hosted() as ready:
            run = tasks.create_task(ready.run("1", "probe.work", do="wait"))
            await until(lambda: bool(ready.printed("1")))
            waiting = tasks.create_task(ready.run("2", "probe.single", until="/nowhere"))
            await until(lambda: bool(ready.printed("2")))
        reason = "plugin probe was stopped while the run went on"
        assert (Status.ABANDONED, reason) == (run.result().status, run.result().reason)
        assert Status.ABANDONED is waiting.result().status

    asyncio.run(main())


def test_a_plugin_that_does_not_stop_is_killed_with_its_children() -> None:
    """After the grace time the whole process group is gone."""

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks, hosted() as ready:
            tasks.create_task(ready.run("1", "probe.work", do="child"))
            await until(lambda: bool(ready.printed("1")))
            tasks.create_task(ready.run("2", "probe.work", do="block"))
            await until(lambda: bool(ready.printed("2")))
            pid, child = ready.status().pid, int(ready.printed("1"))
            assert pid is not None
        assert not alive(pid)
        assert not alive(child)

    asyncio.run(main())


def test_a_dead_plugins_children_are_ended() -> None:
    """A crash leaves no orphan in the plugin's process group."""

    async def body(hosted: Hosted) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hosted.run("1", "probe.work", do="child"))
            await until(lambda: bool(hosted.printed("1")))
            pid = hosted.status().pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        await until(lambda: not alive(int(hosted.printed("1"))))

    with_host(body)


def test_nothing_is_left_when_the_host_is_killed() -> None:
    """SIGKILL of the host ends the plugin through its lifeline, and the run's child with it."""
    host = subprocess.Popen(
        [sys.executable, "-c", HOST_PROGRAM],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
    )
    assert host.stdout is not None
    plugin, child = map(int, host.stdout.readline().split())
    assert alive(plugin)
    assert alive(child)

    host.kill()
    host.communicate()

    asyncio.run(until(lambda: not alive(plugin) and not alive(child)))


def test_a_broken_manifest_is_listed_with_its_reason(tmp_path: Path) -> None:
    """Operators see the refused plugin beside the others."""
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "plugin.yaml").write_text("title: bad\n")

    async def body(hosted: Hosted) -> None:
        assert "refused" == hosted.status("bad").state
        assert "/title: unknown key" in hosted.status("bad").message
        assert "idle" == hosted.status().state

    with_host(body, tmp_path, PLUGINS)


def test_offers_need_no_process() -> None:
    """Listing what plugins offer starts none of them."""

    async def body(hosted: Hosted) -> None:
        names = [offer.name for offer in hosted.host.offers()]
        assert ["probe.echo", "probe.work", "probe.single", "probe.shy"] == names
        assert hosted.status().pid is None

    with_host(body)


def test_a_caller_that_goes_away_cancels_its_run() -> None:
    """Cancelling the task that waits for a run ends the run, and frees its slot."""

    async def body(hosted: Hosted) -> None:
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(hosted.run("1", "probe.single", until="/nowhere"))
            await until(lambda: bool(hosted.printed("1")))
            run.cancel()
        assert Status.SUCCEEDED is (await hosted.run("2", "probe.single", until="/")).status

    with_host(body, limits=msgspec.structs.replace(QUICK, heartbeat_seconds=5))
