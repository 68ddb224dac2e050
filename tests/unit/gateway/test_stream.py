"""Event streams."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from whimbrel.broker.stream import QUEUE_LIMIT
from whimbrel.gateway.app import Settings
from whimbrel.gateway.endpoint import Request
from whimbrel.gateway.endpoints import stream
from whimbrel.model import Caller, OutputRecord, Status

from tests.unit.gateway.calls import Door, play
from tests.unit.gateway.fakes import NOW, object_id

UPDATE = "st2.execution__update"
OUTPUT = "st2.execution.output__create"
QUERY = {
    "events": None,
    "action_refs": None,
    "execution_ids": None,
    "end_event": None,
    "end_execution_id": None,
    "output_type": "all",
}


def request(args: dict[str, str] | None = None, **query: Any) -> Request:
    """Return a routed request of ada."""
    caller = Caller(user="ada", method="authentication token")
    return Request("GET", "http", args or {}, {**QUERY, **query}, {}, None, caller)


def update(number: int, status: str, action: str = "core.local") -> dict[str, Any]:
    """Return the document of an execution's update."""
    return {"id": object_id(number), "status": status, "action": {"ref": action}}


async def opened(reply: Any) -> AsyncIterator[bytes]:
    """Return the pieces of a stream once it listens."""
    pieces: AsyncIterator[bytes] = reply.stream
    assert await anext(pieces) == b"\n"
    return pieces


def event(piece: bytes) -> tuple[str, Any]:
    """Return name and data of a frame."""
    first, second, *rest = piece.decode().split("\n")
    assert rest == ["", ""]
    return first.removeprefix("event: "), json.loads(second.removeprefix("data: "))


def publish(door: Door, name: str, data: dict[str, Any]) -> None:
    """Let something happen."""
    door.broker.stream.publish(name, lambda: data)


def run(case: Callable[[Door], Awaitable[None]]) -> None:
    """Run a case that must not hang."""

    async def limited(door: Door) -> None:
        async with asyncio.timeout(20):
            await case(door)

    play(limited)


def test_events_are_sent_as_they_happen() -> None:
    """The usual ones by default, in frames that browsers understand."""

    async def case(door: Door) -> None:
        pieces = await opened(await stream.stream(door.broker, request()))
        publish(door, OUTPUT, {"data": "not asked for"})
        publish(door, UPDATE, update(1, "running"))
        publish(door, "st2.announcement__chatops", {"payload": {}})

        assert event(await anext(pieces)) == (UPDATE, update(1, "running"))
        assert event(await anext(pieces)) == ("st2.announcement__chatops", {"payload": {}})

    run(case)


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ([OUTPUT], [OUTPUT]),
        (["st2.execution*"], [UPDATE, OUTPUT]),
        (["st2.announcement__a"], ["st2.announcement__a"]),
        (["*"], [UPDATE, OUTPUT, "st2.announcement__a", "st2.announcement__b"]),
        (["st2.announcement__*", "nonsense"], ["st2.announcement__a", "st2.announcement__b"]),
    ],
)
def test_events_are_chosen_by_name(asked: list[str], sent: list[str]) -> None:
    """Names and globs, within what is allowed."""

    async def case(door: Door) -> None:
        pieces = await opened(await stream.stream(door.broker, request(events=asked)))
        for name in (UPDATE, OUTPUT, "st2.announcement__a", "st2.announcement__b", "internal"):
            publish(door, name, {"id": "1"})
        for name in sent:
            assert event(await anext(pieces))[0] == name

    run(case)


def test_unknown_events_are_refused() -> None:
    """When none of the names can ever happen."""

    async def case(door: Door) -> None:
        answer = await door.call("GET", "/stream/v1/stream?events=bogus")
        assert answer.status == 400
        assert "bogus" in answer.fault

    run(case)


def test_events_are_chosen_by_what_they_are_about() -> None:
    """By action and by execution."""

    async def case(door: Door) -> None:
        by_action = await opened(
            await stream.stream(door.broker, request(action_refs=["core.noop"]))
        )
        by_id = await opened(
            await stream.stream(door.broker, request(events=["*"], execution_ids=[object_id(2)]))
        )
        publish(door, UPDATE, update(1, "running"))
        publish(door, UPDATE, update(2, "running", action="core.noop"))
        publish(door, OUTPUT, {"id": object_id(2), "execution_id": object_id(1)})
        publish(door, OUTPUT, {"id": "x", "execution_id": object_id(2)})

        assert event(await anext(by_action))[1]["id"] == object_id(2)
        assert event(await anext(by_id))[1]["id"] == object_id(2)
        assert event(await anext(by_id))[1] == {"id": "x", "execution_id": object_id(2)}

    run(case)


def test_a_stream_ends_with_the_execution_that_it_is_for() -> None:
    """Not with another one's end, and not before it is over."""

    async def case(door: Door) -> None:
        door.broker.executions.add(1, Status.RUNNING)
        pieces = await opened(
            await stream.stream(
                door.broker,
                request(events=[UPDATE, OUTPUT], end_event=UPDATE, end_execution_id=object_id(1)),
            )
        )
        for number, status in ((2, "succeeded"), (1, "running"), (1, "succeeded"), (3, "failed")):
            publish(door, UPDATE, update(number, status))

        seen = [event(piece)[1]["status"] async for piece in pieces]

        assert seen == ["succeeded", "running", "succeeded"]

    run(case)


def test_who_comes_late_is_told_the_end() -> None:
    """An execution that was over before the stream began ends it at once."""

    async def case(door: Door) -> None:
        door.broker.executions.add(1)
        query = f"end_event={UPDATE}&end_execution_id={object_id(1)}&events={UPDATE}"
        answer = await door.call("GET", f"/stream/v1/stream?{query}")
        assert answer.headers["content-type"].startswith("text/event-stream")
        _, piece = answer.data.split(b"\n", 1)
        name, data = event(piece)
        assert (name, data["status"]) == (UPDATE, "succeeded")

    run(case)


def test_a_quiet_stream_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare newline now and then."""
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.001)

    async def case(door: Door) -> None:
        pieces = await opened(await stream.stream(door.broker, request()))
        assert await anext(pieces) == b"\n"
        publish(door, UPDATE, update(1, "running"))
        while (piece := await anext(pieces)) == b"\n":
            pass
        assert event(piece)[0] == UPDATE

    run(case)


def printed(number: int, channel: str = "stdout") -> OutputRecord:
    """Return a piece of output of execution 1."""
    return OutputRecord(
        id=object_id(number),
        execution_id=object_id(1),
        action_ref="core.local",
        runner_ref="local-shell-cmd",
        timestamp=NOW,
        output_type=channel,
        data=f"line {number}\n",
    )


def test_output_is_replayed_and_followed() -> None:
    """What was there, then what comes, each piece once, then the end."""

    async def case(door: Door) -> None:
        door.broker.executions.add(1, Status.RUNNING)
        door.broker.executions.printed += [printed(11), printed(12, "stderr")]
        reply = await stream.output(door.broker, request({"id": "last"}, output_type="stdout"))
        pieces = await opened(reply)
        assert event(await anext(pieces))[1]["data"] == "line 11\n"
        for number, channel in ((11, "stdout"), (13, "stderr"), (14, "stdout")):
            data = {**event_of(printed(number, channel))}
            publish(door, OUTPUT, data)
        publish(door, OUTPUT, {**event_of(printed(15)), "execution_id": "other"})
        publish(door, UPDATE, update(2, "succeeded"))
        publish(door, UPDATE, update(1, "running"))
        publish(door, UPDATE, update(1, "succeeded"))

        assert event(await anext(pieces))[1]["data"] == "line 14\n"
        assert await anext(pieces) == b"event: EOF\ndata: ''\n\n"
        with pytest.raises(StopAsyncIteration):
            await anext(pieces)

    run(case)


def event_of(record: OutputRecord) -> dict[str, Any]:
    """Return a piece of output as the live stream has it."""
    return {name: getattr(record, name) for name in record.__struct_fields__}


def test_output_of_what_is_over_ends_at_once() -> None:
    """Over HTTP, with the former path too; an unknown execution is 404."""

    async def case(door: Door) -> None:
        door.broker.executions.add(1)
        door.broker.executions.printed.append(printed(11))
        answer = await door.call("GET", f"/stream/v1/executions/{object_id(1)}/output")
        assert answer.data.endswith(b"event: EOF\ndata: ''\n\n")
        assert (await door.call("GET", "/stream/v1/executions/none/output")).status == 404

    run(case)


def test_streams_at_one_time_are_bounded() -> None:
    """Over the limit the answer is 503."""

    async def case(door: Door) -> None:
        answer = await door.call("GET", "/stream/v1/stream")
        assert (answer.status, answer.fault) == (
            503,
            "0 streams are open; max_stream_clients is 0",
        )

    play(case, lambda: Door(Settings(max_stream_clients=0)))


def test_closing_the_gateway_ends_the_streams() -> None:
    """Open ones end, later ones end at once."""

    async def case(door: Door) -> None:
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(door.call("GET", "/api/v1/stream"))
            while not door.broker.stream._subscriptions:
                await asyncio.sleep(0)
            door.app.close()
            answer = await call
        assert (answer.status, answer.data) == (200, b"\n")
        assert not door.broker.stream._subscriptions

    run(case)


def test_a_reader_that_is_too_slow_is_cut_off() -> None:
    """Its stream ends; the others do not notice."""

    async def case(door: Door) -> None:
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(door.call("GET", "/stream/v1/stream"))
            while not door.broker.stream._subscriptions:
                await asyncio.sleep(0)
            for number in range(QUEUE_LIMIT + 1):
                publish(door, UPDATE, update(number, "running"))
            answer = await call
        assert answer.data.count(b"event: ") == QUEUE_LIMIT
        assert not door.broker.stream._subscriptions

    run(case)
