"""What a plugin offers: its name, version and runners."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from whimbrel_sdk.run import RunFunction

SDK_VERSION = "0.1.0"

RunnerFunction = TypeVar("RunnerFunction", bound=RunFunction)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerDefinition:
    """A runner that the plugin serves.

    `max_concurrency` 0 means no limit of its own. A run that does not end within
    `cancel_grace_seconds` after it was asked to has its coroutine cancelled.
    """

    name: str
    function: RunFunction
    max_concurrency: int = 0
    cancel_grace_seconds: float = 5.0


class Plugin:
    """A program's runners under one name. `name` and `version` are those of its plugin.yaml."""

    def __init__(self, *, name: str, version: str) -> None:
        self.name = name
        self.version = version
        self._runners: dict[str, RunnerDefinition] = {}

    @property
    def runners(self) -> Mapping[str, RunnerDefinition]:
        """The runners by name, as added."""
        return MappingProxyType(self._runners)

    def runner(
        self, name: str, *, max_concurrency: int = 0, cancel_grace_seconds: float = 5.0
    ) -> Callable[[RunnerFunction], RunnerFunction]:
        """Return a decorator that adds `async def f(run) -> Outcome` as the runner `name`."""

        def add(function: RunnerFunction) -> RunnerFunction:
            self.add(
                RunnerDefinition(
                    name=name,
                    function=function,
                    max_concurrency=max_concurrency,
                    cancel_grace_seconds=cancel_grace_seconds,
                )
            )
            return function

        return add

    def add(self, definition: RunnerDefinition) -> None:
        """Add a runner; a name can be given once."""
        if definition.name in self._runners:
            raise ValueError(f"plugin {self.name} has two runners {definition.name!r}")
        self._runners[definition.name] = definition
