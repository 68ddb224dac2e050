"""The live stream: who asked hears, who is slow is cut off, who does not ask costs nothing."""

import asyncio

import pytest
from whimbrel import errors
from whimbrel.broker.stream import QUEUE_LIMIT, Stream, StreamEvent


def test_subscribers_hear_what_they_asked_for() -> None:
    """Names and globs select; each subscriber has its own place in the stream."""

    async def scenario() -> None:
        stream = Stream()
        with stream.subscribe(["st2.execution__*"]) as one, stream.subscribe(["x"]) as other:
            stream.publish("st2.execution__create", lambda: {"n": 1})
            stream.publish("x", lambda: {"n": 2})
            stream.publish("st2.execution__update", lambda: {"n": 3})

            assert [1, 3] == [(await anext(one)).data["n"] for _ in range(2)]
            assert StreamEvent("x", {"n": 2}) == await anext(other)

    asyncio.run(scenario())


def test_a_slow_subscriber_is_cut_off_and_the_others_are_not() -> None:
    """Up to the limit everything is kept; at one more the slow one ends with the limit named."""

    async def scenario() -> None:
        stream = Stream()
        with stream.subscribe(["x"]) as slow, stream.subscribe(["x"]) as quick:
            for number in range(QUEUE_LIMIT + 5):
                stream.publish("x", lambda number=number: {"n": number})  # type: ignore[misc]
                assert number == (await anext(quick)).data["n"]

            heard = [(await anext(slow)).data["n"] for _ in range(QUEUE_LIMIT)]
            assert list(range(QUEUE_LIMIT)) == heard
            with pytest.raises(errors.Unavailable, match=f"more than {QUEUE_LIMIT} events behind"):
                await anext(slow)

    asyncio.run(scenario())


def test_what_nobody_wants_is_never_made() -> None:
    """Without a subscriber the document is not built; once, however many subscribers there are."""
    made: list[int] = []

    def document() -> dict[str, int]:
        made.append(1)
        return {}

    async def scenario() -> None:
        stream = Stream()
        stream.publish("x", document)
        with stream.subscribe(["y"]):
            stream.publish("x", document)
        assert [] == made
        with stream.subscribe(["x"]), stream.subscribe(["*"]):
            stream.publish("x", document)
        stream.publish("x", document)
        assert [1] == made

    asyncio.run(scenario())
