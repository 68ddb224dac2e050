"""Frames take what is queued, in order, up to their size."""

import asyncio
from collections.abc import Awaitable, Callable

from whimbrel_sdk.frames import FRAME_BYTES, FrameQueue


def with_queue(body: Callable[[FrameQueue[int]], Awaitable[None]]) -> None:
    """Run a test's body with a queue on a loop."""

    async def main() -> None:
        async with asyncio.timeout(5):
            await body(FrameQueue())

    asyncio.run(main())


def test_what_is_queued_travels_together() -> None:
    """One frame holds all that was put since the last."""

    async def body(queue: FrameQueue[int]) -> None:
        for number in range(5):
            queue.put(number)
        assert [0, 1, 2, 3, 4] == await queue.take()

    with_queue(body)


def test_a_frame_has_a_size() -> None:
    """Large items are spread over frames; one that is larger than a frame travels alone."""

    async def body(queue: FrameQueue[int]) -> None:
        for number, size in enumerate((FRAME_BYTES // 2, FRAME_BYTES // 2, 1, FRAME_BYTES * 3, 1)):
            queue.put(number, size)
        assert [[0, 1], [2], [3], [4]] == [await queue.take() for _ in range(4)]

    with_queue(body)


def test_a_patient_item_travels_with_the_next_one() -> None:
    """It costs no frame of its own when company comes in time."""

    async def body(queue: FrameQueue[int]) -> None:
        queue.put_patiently(1, 60)
        queue.put(2)
        assert [1, 2] == await queue.take()

    with_queue(body)


def test_a_patient_item_is_not_forgotten() -> None:
    """When its time is over it travels alone, again and again."""

    async def body(queue: FrameQueue[int]) -> None:
        for number in (1, 2):
            queue.put_patiently(number, 0.001)
            assert [number] == await queue.take()

    with_queue(body)


def test_a_finished_queue_gives_what_is_left_and_then_nothing() -> None:
    """The writer sees the end, after everything before it."""

    async def body(queue: FrameQueue[int]) -> None:
        queue.put(1)
        queue.finish()
        queue.put(2)
        assert [[1], []] == [await queue.take(), await queue.take()]

    with_queue(body)


def test_who_puts_much_waits_until_it_is_taken() -> None:
    """`drained` holds back while too much is unsent, and lets go when there is room or no reader."""

    async def body(queue: FrameQueue[int]) -> None:
        queue.put(1, FRAME_BYTES * 2)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(queue.drained())
            await asyncio.sleep(0)
            assert not waiting.done()
            await queue.take()
        queue.put(2, FRAME_BYTES * 2)
        queue.drop()
        await queue.drained()

    with_queue(body)
