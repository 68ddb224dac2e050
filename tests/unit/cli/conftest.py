"""A server for a test, and the command line pointed at it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.unit.cli import served


class Whimbrel(Protocol):
    """The command line with a home of its own and a server to talk to."""

    def __call__(
        self, *words: str, typed: str = "", terminal: bool = False, **environment: str
    ) -> served.Outcome:
        """Run it with these words; `environment` adds to what is set."""
        ...


@pytest.fixture
def server() -> Iterator[served.Served]:
    """Serve until the test ends."""
    with served.serving() as running:
        yield running


@pytest.fixture
def whimbrel(server: served.Served, tmp_path: Path) -> Whimbrel:
    """Return the command line, logged in with a token."""
    usual = {"HOME": str(tmp_path), "WHIMBREL_URL": server.url, "WHIMBREL_AUTH_TOKEN": "tok"}

    def call(
        *words: str, typed: str = "", terminal: bool = False, **environment: str
    ) -> served.Outcome:
        return served.run(
            *words, environment={**usual, **environment}, typed=typed, terminal=terminal
        )

    return call
