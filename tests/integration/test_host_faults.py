"""Plugins that crash, hang, lie or talk nonsense harm their own runs only, and say why."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from whimbrel.host.backoff import BackOffLimits
from whimbrel.model import Status

from tests.integration.hosting import (
    PLUGINS,
    QUICK,
    Hosted,
    plugin_folder,
    raw_plugin,
    until,
    with_host,
)


def test_a_crash_ends_its_runs_with_one_report_and_the_plugin_comes_back() -> None:
    """Every run in flight hears exit code and last lines; the next run has a new process."""

    async def body(hosted: Hosted) -> None:
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(hosted.run("1", "probe.work", do="wait"))
            await until(lambda: bool(hosted.printed("1")))
            crashing = tasks.create_task(hosted.run("2", "probe.work", do="leave"))
        assert waiting.result() == crashing.result()
        assert Status.ABANDONED is crashing.result().status
        assert "plugin probe exited with code 7; it said last:\nthe last word" == (
            crashing.result().reason
        )
        assert Status.SUCCEEDED is (await hosted.run("3")).status
        assert 1 == hosted.status().restarts

    with_host(body)


def test_a_killed_plugin_is_reported_with_the_signal() -> None:
    """The reason names the signal."""

    async def body(hosted: Hosted) -> None:
        outcome = await hosted.run("1", "probe.work", do="die")
        assert "plugin probe was killed by SIGKILL" == outcome.reason

    with_host(body)


def test_a_run_that_ignores_its_timeout_is_given_up() -> None:
    """The host enforces the timeout again, and starts the plugin anew: it had nothing else."""

    async def body(hosted: Hosted) -> None:
        outcome = await hosted.run("1", "probe.work", timeout_seconds=0.2, do="ignore")
        assert Status.TIMEOUT is outcome.status
        assert "the plugin did not end it within its 0.2 s" == outcome.reason
        await until(lambda: hosted.status().restarts == 1)
        assert Status.SUCCEEDED is (await hosted.run("2")).status

    with_host(body)


def test_a_run_that_ignores_its_cancellation_is_given_up() -> None:
    """A cancel is answered within its slack, whatever the plugin does."""

    async def body(hosted: Hosted) -> None:
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(hosted.run("1", "probe.work", do="ignore"))
            await until(lambda: bool(hosted.printed("1")))
            await hosted.host.cancel("1", user="tester")
        assert Status.CANCELED is run.result().status

    with_host(body)


def test_a_plugin_that_hangs_is_noticed_by_its_silence() -> None:
    """Three missed heartbeats end the run, and a new process takes the next one."""

    async def body(hosted: Hosted) -> None:
        outcome = await hosted.run("1", "probe.work", do="block")
        assert Status.ABANDONED is outcome.status
        assert "plugin probe gave no sign of life for 0.3 s" == outcome.reason
        assert Status.SUCCEEDED is (await hosted.run("2")).status

    with_host(body)


def test_a_silent_run_lives_by_its_heartbeats() -> None:
    """A run that prints nothing for long is not given up."""

    async def body(hosted: Hosted) -> None:
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(hosted.run("1", "probe.work", do="wait"))
            await until(lambda: bool(hosted.printed("1")))
            async with asyncio.timeout(2):
                await asyncio.wait({run}, timeout=2 * QUICK.silence_seconds)
            assert not run.done()
            await hosted.host.cancel("1", user="tester")

    with_host(body)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; sys.exit('no such module')", "plugin odd exited with code 1 before it was"),
        ("import time; time.sleep(60)", "plugin odd was not ready within 0.3 s"),
        (
            """\
            print('WHIMBREL-PLUGIN-1 {"transport":"grpc","address":"unix:/x"}', flush=True)
            import time; time.sleep(60)
            """,
            "plugin odd announced unix:/x, not the socket it was given",
        ),
        (
            "print('WHIMBREL-PLUGIN-1 oops', flush=True); import time; time.sleep(60)",
            "plugin odd was not ready within 0.3 s; it said last:\nWHIMBREL-PLUGIN-1 oops (no ready",
        ),
        ("print('x' * 10**7, flush=True); raise SystemExit(3)", "plugin odd exited with code 3"),
    ],
    ids=["exits", "late", "elsewhere", "no-json", "noisy"],
)
def test_a_plugin_that_does_not_start_fails_its_runs_with_the_reason(
    tmp_path: Path, program: str, reason: str
) -> None:
    """The outcome says what happened, and the plugin waits for its next start."""

    async def body(hosted: Hosted) -> None:
        outcome = await hosted.run("1", "odd.run")
        assert Status.FAILED is outcome.status
        assert outcome.reason.startswith(reason)
        assert hosted.status("odd").message == outcome.reason

    more = "start_timeout: 0.3\nstop_grace: 0.1\n" if "sleep" in program else ""
    with_host(body, plugin_folder(tmp_path, program, more=more))


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """A command that cannot be started is shown."""

    async def body(hosted: Hosted) -> None:
        outcome = await hosted.run("1", "odd.run")
        assert "plugin odd cannot be started: nowhere/at-all: No such file" in outcome.reason

    with_host(body, plugin_folder(tmp_path, command="nowhere/at-all"))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("old", "has no protocol in common with this host"),
        ("stale", "is another launch: 'other' instead of"),
        ("name", "says its name is 'stranger', its manifest 'odd'"),
        ("version", "says its version is '9.9.9', its manifest '0.1.0'"),
        ("service", "does not serve whimbrel.plugin.v1.RunnerService"),
        ("runner", "does not serve odd.run, which its manifest declares; it serves: none"),
        ("deaf", "did not shake hands: DEADLINE_EXCEEDED"),
    ],
)
def test_a_plugin_that_is_not_what_its_manifest_says_is_refused(
    tmp_path: Path, fault: str, reason: str
) -> None:
    """The handshake compares, and the run's outcome tells."""

    async def body(hosted: Hosted) -> None:
        outcome = await hosted.run("1", "odd.run")
        assert Status.FAILED is outcome.status
        assert outcome.reason.startswith(f"plugin odd {reason}")

    limits = msgspec.structs.replace(QUICK, handshake_seconds=0.3)
    with_host(body, raw_plugin(tmp_path, fault), limits=limits)


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (
            "status",
            Status.FAILED,
            "plugin odd sent a result with status 0; allowed are [1, 2, 3, 4]",
        ),
        ("json", Status.FAILED, "plugin odd sent a result that is not JSON: "),
        ("stranger", Status.SUCCEEDED, ""),
        ("garbage", Status.ABANDONED, "plugin odd was ended: it closed its session"),
        ("hangup", Status.ABANDONED, "plugin odd was ended: it closed its session"),
    ],
)
def test_nonsense_ends_the_run_with_the_reason(
    tmp_path: Path, fault: str, status: Status, reason: str
) -> None:
    """What the contract does not allow is named, and nothing hangs."""

    async def body(hosted: Hosted) -> None:
        outcome = await hosted.run("1", "odd.run")
        assert status is outcome.status
        assert outcome.reason.startswith(reason)

    with_host(body, raw_plugin(tmp_path, fault))


def test_a_plugin_without_a_session_gets_one_call_for_each_run(tmp_path: Path) -> None:
    """The plain contract is enough: output, result and cancel work."""

    async def body(hosted: Hosted) -> None:
        outcome = await hosted.run("1", "odd.run")
        assert (Status.SUCCEEDED, "1") == (outcome.status, json.loads(outcome.result))
        assert (["1"], b"out") == (hosted.started, hosted.printed("1"))
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(hosted.run("2", "odd.run", wait=True))
            await until(lambda: bool(hosted.printed("2")))
            assert await hosted.host.cancel("2", user="tester")
        assert Status.SUCCEEDED is run.result().status

    limits = msgspec.structs.replace(QUICK, heartbeat_seconds=5)
    with_host(body, raw_plugin(tmp_path, "calls"), limits=limits)


def test_a_call_that_ends_without_a_result_is_the_plugins_bug(tmp_path: Path) -> None:
    """The stream's end is no success."""

    async def body(hosted: Hosted) -> None:
        outcome = await hosted.run("1", "odd.run")
        assert Status.FAILED is outcome.status
        assert "the plugin ended the run's stream without a result" == outcome.reason

    with_host(body, raw_plugin(tmp_path, "silent-call"))


def test_the_plugins_own_limit_is_kept(tmp_path: Path) -> None:
    """What the handshake says of capacity holds, and all runs come through."""

    async def body(hosted: Hosted) -> None:
        async with asyncio.TaskGroup() as tasks:
            runs = [tasks.create_task(hosted.run(str(n), "odd.run")) for n in range(5)]
        assert {Status.SUCCEEDED} == {run.result().status for run in runs}

    with_host(body, raw_plugin(tmp_path, "one"))


def test_one_broken_plugin_does_not_touch_another(tmp_path: Path) -> None:
    """A plugin that never comes up leaves the others' runs alone."""

    async def body(hosted: Hosted) -> None:
        assert Status.FAILED is (await hosted.run("1", "odd.run")).status
        assert Status.SUCCEEDED is (await hosted.run("2")).status

    with_host(body, plugin_folder(tmp_path, "raise SystemExit(1)"), PLUGINS)


def test_restarts_go_on_for_ever(tmp_path: Path) -> None:
    """A plugin that fails again and again is tried again and again, and works once it can."""
    program = """\
        import os, pathlib, sys
        count = pathlib.Path("count")
        tries = int(count.read_text()) + 1 if count.exists() else 1
        count.write_text(str(tries))
        if tries < 5:
            sys.exit(1)
        from whimbrel_sdk import Outcome, Plugin, serve
        plugin = Plugin(name="odd", version="0.1.0")
        @plugin.runner("odd.run")
        async def run(run):
            return Outcome.succeeded(tries)
        serve(plugin)
        """

    async def body(hosted: Hosted) -> None:
        hosted.host.warm()
        await until(lambda: hosted.status("odd").state == "ready")
        assert b"5" == (await hosted.run("1", "odd.run")).result

    limits = msgspec.structs.replace(
        QUICK, back_off=BackOffLimits(first_seconds=0.001, cap_seconds=0.002)
    )
    with_host(body, plugin_folder(tmp_path, program, more="min_instances: 1\n"), limits=limits)
