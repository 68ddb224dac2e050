"""The bound on commits in flight."""

import asyncio

from whimbrel.store.admission import Admission


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_number_is_bounded() -> None:
    """Beyond the number of commits, who comes waits until one leaves."""

    async def main() -> None:
        admission = Admission(commits_max=2, bytes_max=100)
        assert [admission.try_enter(1) for _ in range(3)] == [True, True, False]
        async with asyncio.TaskGroup() as tasks:
            third = tasks.create_task(admission.enter(1))
            await settle()
            assert not third.done()
            admission.leave(1, 1)

    asyncio.run(main())


def test_the_bytes_are_bounded() -> None:
    """A commit waits when its bytes do not fit; one that never fits gets in alone."""

    async def main() -> None:
        admission = Admission(commits_max=9, bytes_max=10)
        assert admission.try_enter(7)
        assert not admission.try_enter(4)
        assert admission.try_enter(3)
        admission.leave(2, 10)
        assert admission.try_enter(11)
        assert not admission.try_enter(0)

    asyncio.run(main())


def test_first_come_first_served() -> None:
    """A small commit does not overtake a large one that waits."""

    async def main() -> None:
        admission = Admission(commits_max=9, bytes_max=10)
        order: list[str] = []

        async def enter(name: str, size: int) -> None:
            await admission.enter(size)
            order.append(name)

        admission.force(6)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(enter("large", 8))
            tasks.create_task(enter("small", 1))
            await settle()
            assert not admission.try_enter(1)
            assert order == []
            admission.leave(1, 6)

        assert order == ["large", "small"]

    asyncio.run(main())


def test_who_gives_up_makes_room() -> None:
    """A cancelled waiter takes no place, whether it was still waiting or just let in."""

    async def main() -> None:
        admission = Admission(commits_max=1, bytes_max=10)
        admission.force(1)
        loop = asyncio.get_running_loop()
        first, second, third = (loop.create_task(admission.enter(1)) for _ in range(3))
        await settle()
        first.cancel()
        await settle()
        admission.leave(1, 1)
        second.cancel()
        await settle()

        assert (first.cancelled(), second.cancelled()) == (True, True)
        assert third.done()
        assert not admission.try_enter(1)
        admission.leave(1, 1)
        assert admission.try_enter(1)

    asyncio.run(main())


def test_drained_waits_for_all() -> None:
    """Draining ends when the last one has left, and at once when nobody is in."""

    async def main() -> None:
        admission = Admission(commits_max=1, bytes_max=10)
        await admission.drained()
        admission.force(1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(admission.enter(1))
            await settle()
            drained = tasks.create_task(admission.drained())
            admission.leave(1, 1)
            await settle()
            assert not drained.done()
            admission.leave(1, 1)

    asyncio.run(main())
