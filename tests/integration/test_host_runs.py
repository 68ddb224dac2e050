"""Runs through a real plugin process: results, output, limits, cancel."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from whimbrel.host.port import NoSlot
from whimbrel.model import Status

from tests.integration.hosting import QUICK, Hosted, until, with_host


def test_a_run_succeeds_and_its_plugin_starts_on_first_use() -> None:
    """Nothing runs before the first run, which then answers with its parameters."""

    async def body(hosted: Hosted) -> None:
        assert ("idle", None) == (hosted.status().state, hosted.status().pid)
        outcome = await hosted.run("1", big=2**63 - 1, text="\u2028 é")
        assert Status.SUCCEEDED is outcome.status
        assert {"big": 2**63 - 1, "text": "\u2028 é"} == json.loads(outcome.result)
        assert ["1"] == hosted.started
        assert ("ready", 0) == (hosted.status().state, hosted.status().active_runs)

    with_host(body)


def test_an_alias_runs_the_runner() -> None:
    """The plugin hears the runner's own name, whatever the action said."""

    async def body(hosted: Hosted) -> None:
        assert Status.SUCCEEDED is (await hosted.run("1", "probe.echo-alias")).status

    with_host(body)


def test_an_unknown_runner_is_named() -> None:
    """The reason lists what is offered."""

    async def body(hosted: Hosted) -> None:
        outcome = await hosted.run("1", "nobody")
        assert Status.FAILED is outcome.status
        assert "no plugin offers the runner 'nobody'; offered are: probe.echo" in outcome.reason

    with_host(body)


def test_output_is_exact_to_the_byte() -> None:
    """All byte values arrive on their channel, in order, with the right offsets."""

    async def body(hosted: Hosted) -> None:
        await hosted.run("1", "probe.work", do="bytes")
        assert bytes(range(256)) == hosted.printed("1")
        assert bytes(reversed(range(256))) == hosted.printed("1", "stderr")
        for channel in ("stdout", "stderr"):
            chunks = [chunk for chunk in hosted.output["1"] if chunk.channel == channel]
            sizes = [len(chunk.data) for chunk in chunks]
            assert [sum(sizes[:n]) for n in range(len(sizes))] == [c.offset for c in chunks]

    with_host(body)


def test_a_flood_of_output_is_cut_off_and_the_result_says_so() -> None:
    """Output over the limit is dropped, and the run still ends well."""

    async def body(hosted: Hosted) -> None:
        outcome = await hosted.run("1", "probe.work", do="flood")
        assert (Status.SUCCEEDED, True) == (outcome.status, outcome.output_truncated)
        assert 100_000 == len(hosted.printed("1"))

    with_host(body, limits=msgspec.structs.replace(QUICK, max_output_bytes=100_000))


def test_a_flood_of_log_lines_does_not_block_the_run() -> None:
    """The host reads what a plugin prints, however much."""

    async def body(hosted: Hosted) -> None:
        assert Status.SUCCEEDED is (await hosted.run("1", "probe.work", do="chatter")).status

    with_host(body)


def test_an_exception_is_a_failed_run_with_its_trace() -> None:
    """The author's fault is in the result; the plugin lives on."""

    async def body(hosted: Hosted) -> None:
        await hosted.run("0")
        pid = hosted.status().pid
        outcome = await hosted.run("1", "probe.work", do="fail")
        result = json.loads(outcome.result)
        assert (Status.FAILED, "LookupError: nothing there") == (outcome.status, outcome.reason)
        assert "probe_runner.py" in result["traceback"]
        assert pid == hosted.status().pid

    with_host(body)


def test_parameters_over_the_limit_are_refused_with_both_numbers() -> None:
    """What does not fit into a message fails that run alone."""

    async def body(hosted: Hosted) -> None:
        outcome = await hosted.run("1", text="x" * 17 * 1024 * 1024)
        assert Status.FAILED is outcome.status
        assert "limited to 16711680 bytes, got 17825" in outcome.reason
        assert Status.SUCCEEDED is (await hosted.run("2")).status

    with_host(body)


def test_large_parameters_and_results_make_the_way() -> None:
    """A few megabytes are no trouble."""

    async def body(hosted: Hosted) -> None:
        outcome = await hosted.run("1", text="x" * 6_000_000)
        assert 6_000_000 < len(outcome.result)

    with_host(body)


def test_a_canceled_run_ends_as_its_runner_says() -> None:
    """Cancel reaches the run, and the partial result counts."""

    async def body(hosted: Hosted) -> None:
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(hosted.run("1", "probe.work", do="wait"))
            await until(lambda: bool(hosted.printed("1")))
            assert await hosted.host.cancel("1", user="tester")
        assert (Status.CANCELED, b'{"partial":true}') == (run.result().status, run.result().result)
        assert not await hosted.host.cancel("1", user="tester")

    with_host(body)


def test_a_run_that_waits_for_a_slot_is_canceled_at_once() -> None:
    """Cancel before the start needs no plugin."""

    async def body(hosted: Hosted) -> None:
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(hosted.run("1", "probe.single", until="/"))
            second = tasks.create_task(hosted.run("2", "probe.single", until="/"))
            await asyncio.sleep(0)
            await hosted.host.cancel("2", user="tester")
        assert Status.SUCCEEDED is first.result().status
        assert Status.CANCELED is second.result().status
        assert ["1"] == hosted.started

    with_host(body)


def test_slots_are_given_first_in_first_out(tmp_path: Path) -> None:
    """A runner with one slot takes its runs one by one, in order."""
    done = tmp_path / "done"

    async def body(hosted: Hosted) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in "12345":
                tasks.create_task(hosted.run(number, "probe.single", until=str(done)))
            await until(lambda: bool(hosted.printed("1")))
            assert ["1"] == hosted.started
            done.touch()
        assert list("12345") == hosted.started

    with_host(body)


def test_a_plugin_with_fewer_slots_than_it_declared_gets_its_runs_again() -> None:
    """A refused run is not lost: it goes out again when there is a slot."""

    async def body(hosted: Hosted) -> None:
        async with asyncio.TaskGroup() as tasks:
            runs = [tasks.create_task(hosted.run(str(n), "probe.shy")) for n in range(4)]
        assert {Status.SUCCEEDED} == {run.result().status for run in runs}
        assert 4 == len(hosted.started)

    with_host(body)


def test_too_many_waiting_runs_are_refused() -> None:
    """The queue is bounded, and the error names the limit."""

    async def body(hosted: Hosted) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hosted.run("1"))
            await asyncio.sleep(0)
            try:
                await hosted.run("2")
            except NoSlot as error:
                reason = str(error)
        assert "runs waiting for plugin probe are limited to 1" == reason

    with_host(body, limits=msgspec.structs.replace(QUICK, max_waiting_runs=1))


def test_many_runs_at_once_keep_their_own_results() -> None:
    """A thousand runs in flight over one stream do not mix."""

    async def body(hosted: Hosted) -> None:
        async with asyncio.TaskGroup() as tasks:
            runs = {n: tasks.create_task(hosted.run(f"r{n}", n=n)) for n in range(1000)}
        assert all({"n": n} == json.loads(run.result().result) for n, run in runs.items())

    with_host(body)


def test_the_same_id_is_the_same_run() -> None:
    """A second call with the id of a run that goes on gets that run's outcome."""

    async def body(hosted: Hosted) -> None:
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(hosted.run("1", "probe.single", until="/"))
            await asyncio.sleep(0)
            second = tasks.create_task(hosted.run("1", "probe.single", until="/"))
        assert first.result() == second.result()
        assert ["1"] == hosted.started

    with_host(body)


def test_a_plugin_sees_little_of_the_hosts_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the allow list and the host's own variables are there; cwd is the plugin's folder."""
    monkeypatch.setenv("WHIMBREL_MASTER_KEY", "31337")

    async def body(hosted: Hosted) -> None:
        seen = json.loads((await hosted.run("1", "probe.work", do="surroundings")).result)
        allowed = {"HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "TZ"}
        hosts = {name for name in seen["env"] if name.startswith("WHIMBREL_")}
        assert set() == set(seen["env"]) - allowed - hosts
        assert "WHIMBREL_MASTER_KEY" not in hosts
        assert ("probe", {"GIVEN": "yes"}) == (Path(seen["cwd"]).name, seen["run"])

    with_host(body)
