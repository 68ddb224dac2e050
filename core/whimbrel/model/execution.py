"""An execution: one run of one action, and its states.

The states, sets and shapes are StackStorm's (3.9). A stored execution holds what its own run
changed; the action and runner documents it ran with are stored once per version and referred to.
"""

from enum import StrEnum
from typing import Any

import msgspec


class Status(StrEnum):
    """The fourteen states of an execution."""

    REQUESTED = "requested"
    SCHEDULED = "scheduled"
    DELAYED = "delayed"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMEOUT = "timeout"
    ABANDONED = "abandoned"
    CANCELING = "canceling"
    CANCELED = "canceled"
    PENDING = "pending"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"


COMPLETED = frozenset(
    {Status.SUCCEEDED, Status.FAILED, Status.TIMEOUT, Status.ABANDONED, Status.CANCELED}
)
CANCELABLE = frozenset(
    {
        Status.REQUESTED,
        Status.SCHEDULED,
        Status.DELAYED,
        Status.RUNNING,
        Status.PAUSING,
        Status.PAUSED,
        Status.RESUMING,
    }
)


NO_RESULT = msgspec.Raw(b"null")
"""What an execution that has not ended has as its result, as JSON text."""


class LogEntry(msgspec.Struct, frozen=True):
    """When the execution entered a state."""

    status: Status
    timestamp: str


class Execution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run of one action, as it is stored.

    `action_version` is the key of the action and runner documents that it runs with.
    `parameters` are as given, rendered; defaults are applied when it runs.
    `secrets` are RFC 6901 pointers into `parameters` that every answer and message masks.
    """

    id: str
    liveaction_id: str
    action_ref: str
    action_version: str
    runner_type: str
    status: Status
    start_timestamp: str
    end_timestamp: str | None = None
    parameters: dict[str, Any] = {}
    context: dict[str, Any] = {}
    log: tuple[LogEntry, ...] = ()
    result: msgspec.Raw = NO_RESULT
    result_size: int = 0
    parent: str | None = None
    children: tuple[str, ...] = ()
    rule: dict[str, str] | None = None
    trigger: dict[str, Any] | None = None
    trigger_type: dict[str, Any] | None = None
    trigger_instance: dict[str, str] | None = None
    notify: dict[str, Any] | None = None
    delay: int | None = None
    callback: dict[str, Any] | None = None


class ExecutionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller wants run. `delay` is in milliseconds; `context` is merged over the server's."""

    action: str
    parameters: dict[str, Any] = {}
    user: str | None = None
    context: dict[str, Any] = {}
    notify: dict[str, Any] | None = None
    delay: int | None = None
    callback: dict[str, Any] | None = None


class OutputChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of what a run printed. `offset` is the position of `data` in its channel, in bytes."""

    channel: str
    data: bytes
    offset: int


class OutputRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A stored piece of output, in the shape of StackStorm's output stream."""

    id: str
    execution_id: str
    action_ref: str
    runner_ref: str
    timestamp: str
    output_type: str
    data: str
