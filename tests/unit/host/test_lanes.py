"""Runs wait for slots first in, first out, each runner in its own lane."""

import asyncio
from collections.abc import Callable

from whimbrel.host.flight import Flight, Lanes
from whimbrel.model import RunOutcome, Status

from tests.unit.host.test_wire import a_request


def on_a_loop(body: Callable[[], None]) -> None:
    """Call `body` where futures can be made."""

    async def run() -> None:
        body()

    asyncio.run(run())


def flight(run_id: str, runner: str = "a") -> Flight:
    """Return a run that nobody follows."""
    return Flight(a_request(run_id=run_id), runner, lambda: None, lambda _: None)


def names(lanes: Lanes) -> list[str]:
    """Take all that have a slot."""
    found = []
    while (taken := lanes.next()) is not None:
        found.append(taken.request.run_id)
    return found


def test_a_limit_holds_and_the_order_is_kept() -> None:
    """With two slots, the third run waits for a release."""

    def body() -> None:
        lanes, runs = Lanes({"a": 2}), [flight(n) for n in "123"]
        for run in runs:
            lanes.push(run)
        assert ["1", "2"] == names(lanes)
        lanes.release(runs[0])
        assert ["3"] == names(lanes)

    on_a_loop(body)


def test_a_full_lane_does_not_hold_up_another() -> None:
    """Runners of one plugin have slots of their own."""

    def body() -> None:
        lanes = Lanes({"a": 1, "b": 0})
        for run in (flight("1"), flight("2"), flight("3", "b")):
            lanes.push(run)
        assert ["1", "3"] == names(lanes)

    on_a_loop(body)


def test_the_plugins_own_limit_holds_over_all_runners() -> None:
    """What the plugin said in the handshake counts too."""

    def body() -> None:
        lanes = Lanes({"a": 0, "b": 0})
        lanes.plugin_limit = 1
        lanes.push(flight("1"))
        lanes.push(flight("2", "b"))
        assert 1 == len(names(lanes))

    on_a_loop(body)


def test_a_run_that_is_over_takes_no_slot() -> None:
    """A run canceled while it waited is passed over."""

    def body() -> None:
        lanes, run = Lanes({"a": 1}), flight("1")
        lanes.push(run)
        lanes.push(flight("2"))
        run.finish(RunOutcome(status=Status.CANCELED))
        assert ["2"] == names(lanes)

    on_a_loop(body)


def test_a_refused_run_is_the_next() -> None:
    """Being refused by the plugin costs no place in the queue."""

    def body() -> None:
        lanes, first = Lanes({"a": 1}), flight("1")
        lanes.push(first)
        lanes.push(flight("2"))
        lanes.next()
        lanes.release(first)
        lanes.push_back(first)
        assert ["1"] == names(lanes)

    on_a_loop(body)
