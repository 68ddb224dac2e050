"""How long events wait, and what an ack subject tells."""

import pytest
from whimbrel.bus.reception import delivery_of, retry_seconds


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.WHIMBREL_EVENTS.broker.3.17.20.1700000000000000000.0",
        "$JS.ACK.hub.AXYZ.WHIMBREL_EVENTS.broker.3.17.20.1700000000000000000.0.token",
        "$JS.ACK._.AXYZ.WHIMBREL_EVENTS.broker.3.17.20.1700000000000000000.0",
    ],
)
def test_an_ack_subject_tells_sequence_and_deliveries(reply: str) -> None:
    """Both forms that servers use are read."""
    assert delivery_of(reply) == (17, 3)


@pytest.mark.parametrize(
    ("deliveries", "seconds"), [(1, 0.1), (2, 0.2), (5, 1.6), (9, 25.6), (10, 30.0), (10**9, 30.0)]
)
def test_a_failed_event_waits_longer_each_time(deliveries: int, seconds: float) -> None:
    """Doubling, up to half a minute."""
    assert retry_seconds(deliveries) == pytest.approx(seconds)
