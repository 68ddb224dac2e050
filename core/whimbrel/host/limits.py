"""What the plugin host allows, and how long it waits. Every limit is here."""

import msgspec

from whimbrel.host.backoff import BackOffLimits

SILENT_INTERVALS = 3
"""A run that misses this many heartbeats is given up."""


class HostLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The host's limits and times, for every plugin.

    `max_waiting_runs` counts those of one plugin that have no slot yet; more are refused.
    `timeout_slack_seconds` is what a plugin may take beyond a run's timeout to end it, and
    `cancel_slack_seconds` to end it once asked; then the host gives the run up.
    `drain_seconds` is what runs may take to end when the host stops.
    """

    max_waiting_runs: int = 10_000
    max_output_bytes: int = 16 * 1024 * 1024
    heartbeat_seconds: float = 5
    timeout_slack_seconds: float = 5
    cancel_slack_seconds: float = 15
    handshake_seconds: float = 10
    drain_seconds: float = 5
    refused_retry_seconds: float = 1
    back_off: BackOffLimits = BackOffLimits()

    @property
    def silence_seconds(self) -> float:
        """After this long without a word on a run, it is given up."""
        return SILENT_INTERVALS * self.heartbeat_seconds


DEFAULT_LIMITS = HostLimits()
