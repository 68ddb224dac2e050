"""Shipped test doubles and drivers for Whimbrel itself and for those who build on it."""

from whimbrel.testing.process import BrokerProcess, StartFailed, free_port

__all__ = ["BrokerProcess", "StartFailed", "free_port"]
