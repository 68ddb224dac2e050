"""How the SDK starts, watches and ends runs."""

import asyncio
import json

import msgspec
import pytest
from whimbrel_sdk import FailureKind, Outcome, Plugin, Run, Status
from whimbrel_sdk.runs import Ended, RunTable
from whimbrel_sdk.testing import run_once

plugin = Plugin(name="tests", version="0.1.0")


@plugin.runner("echo")
async def echo(run: Run) -> Outcome:
    """Answer with everything that was given."""
    return Outcome.succeeded([run.params, run.action_params, run.action_schema, dict(run.env)])


@plugin.runner("raw")
async def raw(run: Run) -> Outcome:
    """Pass JSON text on."""
    return Outcome.succeeded(msgspec.Raw(run.params_json))


@plugin.runner("fail")
async def fail(run: Run) -> Outcome:
    """Fail in the way that was asked for."""
    if run.params["how"] == "raise":
        raise LookupError("nothing there")
    if run.params["how"] == "exit":
        raise SystemExit(3)
    if run.params["how"] == "unsayable":
        return Outcome.succeeded(object())
    if run.params["how"] == "nothing":
        return None  # type: ignore[return-value]  # what an author may forget
    return Outcome.failed({"code": 1}, "did not work", FailureKind.TRANSIENT)


@plugin.runner("wait", cancel_grace_seconds=0.01)
async def wait(run: Run) -> Outcome:
    """Wait until canceled; take no notice of it if told so."""
    run.write("stdout", b"ready")
    if run.params.get("deaf"):
        await asyncio.Event().wait()
    await run.cancelled.wait()
    assert run.cancel_requested
    return Outcome.canceled("half")


@plugin.runner("print")
async def print_(run: Run) -> Outcome:
    """Print in small pieces."""
    for piece in run.params["pieces"]:
        run.write(piece[0], piece[1].encode())
        await run.drain()
    return Outcome.succeeded()


class Notes:
    """A sink that notes what it hears."""

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []
        self.ends: dict[str, Ended] = {}
        self.heard = asyncio.Event()

    def started(self, run_id: str, *, duplicate: bool) -> None:
        """Note it."""
        self.events.append((run_id, "joined" if duplicate else "started"))

    def output(self, run_id: str, channel: str, data: bytes, offset: int) -> None:
        """Note it."""
        self.events.append((run_id, data))

    def heartbeat(self, run_id: str) -> None:
        """Note it."""
        self.events.append((run_id, "heartbeat"))
        self.heard.set()

    def ended(self, run_id: str, ended: Ended) -> None:
        """Note it."""
        self.events.append((run_id, ended.status))
        self.ends[run_id] = ended
        self.heard.set()

    async def drained(self) -> None:
        """Never behind."""

    async def end_of(self, run_id: str) -> Ended:
        """Wait for the end of a run."""
        while run_id not in self.ends:
            self.heard.clear()
            await self.heard.wait()
        return self.ends[run_id]


def test_a_runner_gets_what_was_sent() -> None:
    """Parameters, schema and environment are there."""
    ended = run_once(
        plugin,
        "echo",
        {"a": 1},
        action_params={"b": 2**63},
        action_schema={"b": {}},
        env={"E": "1"},
    )

    assert Status.SUCCEEDED is ended.status
    assert [{"a": 1}, {"b": 2**63}, {"b": {}}, {"E": "1"}] == ended.result


def test_json_text_is_passed_on_as_it_is() -> None:
    """A result that is JSON already is not touched."""
    assert {"n": 60} == run_once(plugin, "raw", {"n": 60}).result


def test_a_failure_says_kind_and_message() -> None:
    """An expected failure has no stack trace."""
    ended = run_once(plugin, "fail", {"how": "return"})

    assert (Status.FAILED, {"code": 1}, "did not work") == (
        ended.status,
        ended.result,
        ended.message,
    )
    assert (FailureKind.TRANSIENT, "") == (ended.kind, ended.stack_trace)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raise", "LookupError: nothing there"),
        ("exit", "SystemExit: 3"),
        ("unsayable", "the result is nothing that JSON can say"),
        ("nothing", "runner 'fail' returned NoneType, not an Outcome"),
    ],
)
def test_an_authors_fault_is_the_runs_end(how: str, message: str) -> None:
    """Whatever an author's code does, the run ends as the plugin's bug."""
    ended = run_once(plugin, "fail", {"how": how})

    assert (Status.FAILED, FailureKind.PLUGIN_BUG) == (ended.status, ended.kind)
    assert ended.message.startswith(message)


def test_a_canceled_runner_may_say_what_it_has() -> None:
    """A runner that watches `cancelled` decides on its result."""
    ended = run_once(plugin, "wait", cancel_on_output=b"ready")

    assert (Status.CANCELED, "half") == (ended.status, ended.result)


def test_a_runner_that_takes_no_notice_is_canceled() -> None:
    """After its grace time the coroutine is cancelled."""
    ended = run_once(plugin, "wait", {"deaf": True}, cancel_on_output=b"ready")

    assert (Status.CANCELED, "was canceled") == (ended.status, ended.message)


def test_a_runner_that_does_not_watch_its_time_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK ends a run that is over its timeout and slack."""
    monkeypatch.setattr("whimbrel_sdk.runs.TIMEOUT_SLACK_SECONDS", 0)
    monkeypatch.setattr("whimbrel_sdk.runs.SWEEP_SECONDS", 0.01)

    ended = run_once(plugin, "wait", timeout_seconds=0.01)

    assert (Status.TIMED_OUT, "did not end within 0.01 s") == (ended.status, ended.message)


def test_an_unknown_runner_is_refused_with_what_there_is() -> None:
    """The message lists the plugin's runners."""
    ended = run_once(plugin, "nobody")

    assert FailureKind.INVALID_INPUT is ended.kind
    assert "no runner 'nobody' in plugin tests; it has: echo, raw" in ended.message


def test_output_keeps_its_channels() -> None:
    """Pieces come out in order on their channel."""
    pieces = [["stdout", "a"], ["stderr", "b"], ["stdout", "c"]]

    ended = run_once(plugin, "print", {"pieces": pieces})

    assert (b"ac", b"b") == (ended.stdout, ended.stderr)


def test_a_channel_that_does_not_exist_is_the_authors_fault() -> None:
    """The message says which there are."""
    ended = run_once(plugin, "print", {"pieces": [["stdlog", "a"]]})

    assert "allowed are ['stderr', 'stdout']" in ended.message


def test_a_run_is_started_once() -> None:
    """The same id joins the run that goes on, and hears the end of one that is over."""

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            table, first, second = RunTable(plugin, tasks), Notes(), Notes()
            table.start(Run(id="1", runner="wait"), first)
            table.start(Run(id="1", runner="wait"), second)
            table.cancel("1")
            ended = await first.end_of("1")
            assert [("1", "started"), ("1", Status.CANCELED)] == [
                event for event in first.events if event[1] != b"ready"
            ]
            assert ("1", "joined") == second.events[0]
            late = Notes()
            table.start(Run(id="1", runner="wait"), late)
            assert [("1", "joined"), ("1", Status.CANCELED)] == late.events
            assert ended == await late.end_of("1") == await second.end_of("1")

    asyncio.run(main())


def test_another_attempt_is_another_run() -> None:
    """A repeated attempt does not get the result of the one before."""

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            table, notes = RunTable(plugin, tasks), Notes()
            table.start(Run(id="1", runner="raw", params_json=b"1"), notes)
            await notes.end_of("1")
            again = Notes()
            table.start(Run(id="1", attempt=2, runner="raw", params_json=b"2"), again)
            assert b"2" == (await again.end_of("1")).result

    asyncio.run(main())


def test_capacity_is_kept_and_given_back() -> None:
    """A run beyond the limit is refused as no attempt; after an end there is room."""
    small = Plugin(name="small", version="0.1.0")
    small.runner("wait", max_concurrency=1)(wait)

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            table, notes = RunTable(small, tasks), Notes()
            table.start(Run(id="1", runner="wait"), notes)
            table.start(Run(id="2", runner="wait"), notes)
            assert FailureKind.RESOURCE_EXHAUSTED is (await notes.end_of("2")).kind
            table.cancel("1")
            await notes.end_of("1")
            assert table.refusal(Run(id="3", runner="wait")) is None

    asyncio.run(main())


def test_a_draining_plugin_refuses_until_the_next_handshake() -> None:
    """Drain lets go on what goes on; a handshake undoes it."""

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            table, notes = RunTable(plugin, tasks), Notes()
            table.start(Run(id="1", runner="wait"), notes)
            assert ("1",) == table.drain()
            table.start(Run(id="2", runner="echo"), notes)
            assert "plugin tests is draining" == (await notes.end_of("2")).message
            table.configure(heartbeat_seconds=0, max_message_bytes=0)
            assert table.refusal(Run(id="3", runner="echo")) is None
            await table.shut_down(1)
            assert Status.CANCELED is notes.ends["1"].status

    asyncio.run(main())


def test_a_silent_run_sends_heartbeats() -> None:
    """A run that prints nothing shows that it lives."""

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            table, notes = RunTable(plugin, tasks), Notes()
            table.configure(heartbeat_seconds=0.01, max_message_bytes=0)
            table.start(Run(id="1", runner="wait"), notes)
            await notes.heard.wait()
            assert ("1", "heartbeat") in notes.events
            table.cancel("1")

    asyncio.run(main())


def test_runs_that_nobody_follows_are_canceled() -> None:
    """When the host's stream is lost, its runs end."""

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            table, notes, other = RunTable(plugin, tasks), Notes(), Notes()
            one = Run(id="1", runner="wait")
            two = Run(id="2", runner="wait")
            table.start(one, notes)
            table.start(two, notes)
            table.start(Run(id="2", runner="wait"), other)
            table.leave(notes)
            assert (True, False) == (one.cancel_requested, two.cancel_requested)
            table.cancel("2")
            await other.end_of("2")

    asyncio.run(main())


def test_a_result_over_the_limit_is_named() -> None:
    """A result that no message can carry becomes a failure with both numbers."""

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            table, notes = RunTable(plugin, tasks), Notes()
            table.configure(heartbeat_seconds=0, max_message_bytes=65_636)
            text = json.dumps("x" * 200).encode()
            table.start(Run(id="1", runner="raw", params_json=text), notes)
            ended = await notes.end_of("1")
            assert "the result is limited to 100 bytes, got 202 bytes" == ended.message

    asyncio.run(main())


def test_a_runner_has_one_name() -> None:
    """Two runners of one name are a programming error, found when the plugin is defined."""
    twice = Plugin(name="twice", version="0.1.0")
    twice.runner("a")(echo)

    with pytest.raises(ValueError, match="two runners 'a'"):
        twice.runner("a")(echo)
