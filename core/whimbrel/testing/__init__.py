"""Shipped test doubles and drivers for Whimbrel itself and for those who build on it."""

from whimbrel.testing.fakes import CountedIds, FakeHost, FixedClock
from whimbrel.testing.process import BrokerProcess, StartFailed, free_port

__all__ = ["BrokerProcess", "CountedIds", "FakeHost", "FixedClock", "StartFailed", "free_port"]
