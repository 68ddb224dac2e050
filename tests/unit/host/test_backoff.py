"""Restarts back off, with jitter, for ever."""

from whimbrel.host.backoff import BackOff, BackOffLimits


class FixedChance:
    """Chance that always says the same."""

    def __init__(self, value: float) -> None:
        self._value = value

    def fraction(self) -> float:
        """Return it."""
        return self._value


def test_the_first_restart_is_at_once_and_the_wait_doubles_to_its_cap() -> None:
    """At once, then 1, 2, 4 ... 60 seconds, and never more."""
    back_off = BackOff(BackOffLimits(), FixedChance(0.0))

    delays = [back_off.next_delay_seconds(0) for _ in range(9)]

    assert [0, 1, 2, 4, 8, 16, 32, 60, 60] == delays


def test_jitter_takes_away_up_to_half() -> None:
    """Plugins that died together do not come back together."""
    back_off = BackOff(BackOffLimits(), FixedChance(0.5))
    back_off.next_delay_seconds(0)

    assert 0.75 == back_off.next_delay_seconds(0)


def test_a_plugin_that_was_ready_for_long_begins_anew() -> None:
    """A rare crash costs no wait."""
    back_off = BackOff(BackOffLimits(reset_seconds=60), FixedChance(0.0))
    for _ in range(5):
        back_off.next_delay_seconds(0)

    assert 0 == back_off.next_delay_seconds(61)


def test_it_never_gives_up() -> None:
    """The thousandth failure waits as long as the tenth."""
    back_off = BackOff(BackOffLimits(), FixedChance(0.0))

    assert 60 == [back_off.next_delay_seconds(0) for _ in range(1000)][-1]
