"""Frozen values. Nothing here touches the world."""

from datetime import UTC, datetime

from whimbrel.model.content import (
    Action,
    Named,
    Pack,
    Rule,
    RuleAction,
    RuleTrigger,
    RuleType,
    RunnerType,
    Trigger,
    TriggerType,
)
from whimbrel.model.event import (
    PROCESSED,
    PROCESSING_FAILED,
    Event,
    Ingested,
    RuleEnforcement,
    Trace,
    TraceLink,
    TriggerInstance,
)
from whimbrel.model.execution import (
    CANCELABLE,
    COMPLETED,
    NO_RESULT,
    Execution,
    ExecutionRequest,
    LogEntry,
    OutputChunk,
    OutputRecord,
    Status,
)
from whimbrel.model.identity import ApiKey, Caller, Token
from whimbrel.model.key import SYSTEM_SCOPE, USER_SCOPE, KeyValue
from whimbrel.model.run import RunnerOffer, RunOutcome, RunRequest

UTC_SUFFIX_LENGTH = len("+00:00")
MASK = "********"
"""What stands in place of a secret in every answer, message and log."""


def timestamp(moment: datetime) -> str:
    """Return an aware time as StackStorm prints it: `2026-01-31T09:30:00.000000Z`."""
    # Ten times as fast as strftime, and every state of every execution has one.
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-UTC_SUFFIX_LENGTH] + "Z"


__all__ = [
    "CANCELABLE",
    "COMPLETED",
    "MASK",
    "NO_RESULT",
    "PROCESSED",
    "PROCESSING_FAILED",
    "SYSTEM_SCOPE",
    "USER_SCOPE",
    "Action",
    "ApiKey",
    "Caller",
    "Event",
    "Execution",
    "ExecutionRequest",
    "Ingested",
    "KeyValue",
    "LogEntry",
    "Named",
    "OutputChunk",
    "OutputRecord",
    "Pack",
    "Rule",
    "RuleAction",
    "RuleEnforcement",
    "RuleTrigger",
    "RuleType",
    "RunOutcome",
    "RunRequest",
    "RunnerOffer",
    "RunnerType",
    "Status",
    "Token",
    "Trace",
    "TraceLink",
    "Trigger",
    "TriggerInstance",
    "TriggerType",
    "timestamp",
]
