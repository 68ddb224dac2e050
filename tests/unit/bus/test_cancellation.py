"""No cancellation gets lost on its way through the client."""

import asyncio
from contextlib import suppress

import pytest
from whimbrel.bus.cancellation import heeded


async def swallow(started: asyncio.Event, error: Exception | None) -> str:
    """Behave as badly as a client can."""
    with suppress(asyncio.CancelledError):
        started.set()
        await asyncio.Event().wait()
    if error is not None:
        raise error
    return "went on"


@pytest.mark.parametrize("error", [None, OSError("refused")])
def test_a_swallowed_cancellation_is_raised(error: Exception | None) -> None:
    """Whether the client went on or failed meanwhile."""

    async def scenario() -> None:
        started = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(heeded(swallow(started, error)))
            await started.wait()
            task.cancel()
        assert task.cancelled()

    asyncio.run(scenario())


def test_what_is_not_cancelled_is_left_alone() -> None:
    """Results and errors pass through."""

    async def fail() -> None:
        raise OSError("refused")

    async def scenario() -> None:
        assert await heeded(asyncio.sleep(0, "result")) == "result"
        with pytest.raises(OSError, match="refused"):
            await heeded(fail())

    asyncio.run(scenario())
