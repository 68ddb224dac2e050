"""A cancellation that the NATS client swallows is raised after all."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Result = TypeVar("Result")


async def heeded(awaited: Awaitable[Result]) -> Result:
    """Await `awaited`; raise `CancelledError` when this task was cancelled meanwhile, whatever came out.

    The client catches it in places, and `asyncio.wait_for` of Python 3.11 loses it when the awaited
    thing ends in the same turn of the loop. A task that missed its cancellation would run for ever.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        return await awaited
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError
