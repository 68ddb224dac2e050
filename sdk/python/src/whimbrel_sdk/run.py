"""One run as a runner's author sees it: what to do, where to write, how it ended."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any, Protocol

import msgspec

STDOUT = "stdout"
STDERR = "stderr"


class Status(Enum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELED = "canceled"


class FailureKind(Enum):
    """Who has to act on a failure."""

    INVALID_INPUT = "invalid_input"
    PERMISSION = "permission"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    TIMEOUT = "timeout"
    CANCELED = "canceled"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    PLUGIN_BUG = "plugin_bug"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended.

    `result` is anything that JSON can say, or `msgspec.Raw` when it is JSON text already.
    `message` is one line for a person when the result does not tell.
    """

    status: Status
    result: Any = None
    message: str = ""
    kind: FailureKind | None = None
    stack_trace: str = ""

    @classmethod
    def succeeded(cls, result: Any = None) -> "Outcome":
        """Return the outcome of a run that did its work."""
        return cls(status=Status.SUCCEEDED, result=result)

    @classmethod
    def failed(
        cls, result: Any = None, message: str = "", kind: FailureKind = FailureKind.PERMANENT
    ) -> "Outcome":
        """Return the outcome of a run that did not."""
        return cls(status=Status.FAILED, result=result, message=message, kind=kind)

    @classmethod
    def timed_out(cls, result: Any = None, message: str = "") -> "Outcome":
        """Return the outcome of a run that was ended after `timeout_seconds`."""
        return cls(
            status=Status.TIMED_OUT, result=result, message=message, kind=FailureKind.TIMEOUT
        )

    @classmethod
    def canceled(cls, result: Any = None, message: str = "") -> "Outcome":
        """Return the outcome of a run that was ended because somebody asked."""
        return cls(
            status=Status.CANCELED, result=result, message=message, kind=FailureKind.CANCELED
        )


class Output(Protocol):
    """Where a run's output goes."""

    def write(self, channel: str, data: bytes) -> None:
        """Take bytes for a channel; never blocks."""
        ...

    async def drain(self) -> None:
        """Wait until the reader has caught up."""
        ...


@dataclass(slots=True, kw_only=True)
class OutputOptions:
    """How output is cut into chunks."""

    max_chunk_bytes: int = 32 * 1024
    flush_interval_seconds: float = 0.1
    max_total_bytes: int = 16 * 1024 * 1024


@dataclass(eq=False, kw_only=True)
class Run:
    """One run of one action.

    `env` is for what the runner starts; `token` is a secret and no part of it.
    `timeout_seconds` is 0 when there is no limit. JSON documents are decoded on first use.
    """

    id: str
    runner: str
    attempt: int = 1
    params_json: bytes = field(default=b"{}", repr=False)
    action_params_json: bytes = field(default=b"{}", repr=False)
    action_schema_json: bytes = b"{}"
    entry_point: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    token: str = field(default="", repr=False)
    execution_id: str = ""
    action_ref: str = ""
    pack: str = ""
    pack_path: str = ""
    user: str = ""
    trace_id: str = ""
    timeout_seconds: float = 0.0
    secret_pointers: tuple[str, ...] = ()
    output_options: OutputOptions = field(default_factory=OutputOptions, repr=False)

    def __post_init__(self) -> None:
        self._output: Output | None = None

    @cached_property
    def cancelled(self) -> asyncio.Event:
        """The event that is set once somebody asked to end the run; wait on it, or look."""
        return asyncio.Event()

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked to end the run."""
        return self.cancelled.is_set()

    @cached_property
    def params(self) -> dict[str, Any]:
        """The runner's own parameters, complete and rendered."""
        return _object(self.params_json)

    @cached_property
    def action_params(self) -> dict[str, Any]:
        """The action's own parameters, complete and rendered."""
        return _object(self.action_params_json)

    @cached_property
    def action_schema(self) -> dict[str, Any]:
        """The action's `parameters` metadata: types, positions."""
        return _object(self.action_schema_json)

    def write(self, channel: str, data: bytes) -> None:
        """Show `data` as output of `channel` ("stdout" or "stderr"). Never blocks.

        Small writes become one chunk; beyond the run's output limit bytes are dropped and the
        result says so. A run that prints a lot awaits `drain` now and then.
        """
        if self._output is not None:
            self._output.write(channel, data)

    async def drain(self) -> None:
        """Wait while the host is far behind in reading this run's output."""
        if self._output is not None:
            await self._output.drain()

    def attach(self, output: Output) -> None:
        """Say where output goes; the SDK does this before the run starts."""
        self._output = output


RunFunction = Callable[[Run], Awaitable[Outcome]]


def _object(text: bytes) -> dict[str, Any]:
    return msgspec.json.decode(text, type=dict[str, Any]) if text else {}
