"""How long a plugin that died waits for its next start."""

import msgspec

from whimbrel import seams


class BackOffLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The first restart is at once, the next after `first_seconds`, doubling to `cap_seconds`.

    A plugin that was ready for `reset_seconds` begins anew.
    """

    first_seconds: float = 1
    cap_seconds: float = 60
    reset_seconds: float = 60


class BackOff:
    """Counts the failures of one plugin. It never gives up."""

    def __init__(self, limits: BackOffLimits, chance: seams.Chance) -> None:
        self._limits = limits
        self._chance = chance
        self._failures = 0

    def next_delay_seconds(self, ready_seconds: float) -> float:
        """Return the wait after a failure; `ready_seconds` is how long the plugin had been ready.

        Jitter takes away up to half of it, so that plugins that died together part again.
        """
        if ready_seconds >= self._limits.reset_seconds:
            self._failures = 0
        self._failures += 1
        if self._failures == 1:
            return 0.0
        doublings = min(self._failures - 2, 32)
        delay = min(self._limits.first_seconds * 2.0**doublings, self._limits.cap_seconds)
        return delay * (1 - self._chance.fraction() / 2)
