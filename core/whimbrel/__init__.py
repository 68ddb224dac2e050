"""Event-driven automation that fits on the edge."""

__version__ = "0.1.0"
