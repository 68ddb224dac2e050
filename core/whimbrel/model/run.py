"""What the broker hands to a runner plugin, and what comes back."""

from typing import Any

import msgspec

from whimbrel.model.execution import Status


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `run_id` is the idempotency key: the same id twice is the same run.

    `runner_parameters` and `action_parameters` are rendered and complete (every declared name is
    there). `action_schema` is the action's own `parameters` metadata (types, positions).
    `entry_point` is an absolute path, or empty. `env` are the ST2_ACTION_* values that a runner
    gives to what it starts; `ST2_ACTION_AUTH_TOKEN` is in `token`, apart, because it is a secret.
    """

    run_id: str
    attempt: int
    runner: str
    action_ref: str
    pack: str
    pack_path: str
    entry_point: str
    user: str
    runner_parameters: dict[str, Any]
    action_parameters: dict[str, Any]
    action_schema: dict[str, dict[str, Any]]
    timeout_seconds: float
    env: dict[str, str] = {}
    token: str = ""
    trace_id: str = ""
    secret_pointers: tuple[str, ...] = ()


class RunOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended. `result` is JSON text; `reason` is for people when there is no result."""

    status: Status
    result: bytes = b"null"
    reason: str = ""
    output_truncated: bool = False


class RunnerOffer(msgspec.Struct, frozen=True, kw_only=True):
    """A runner type as a plugin's manifest declares it; listing needs no process."""

    name: str
    plugin: str
    description: str = ""
    aliases: tuple[str, ...] = ()
    parameters: dict[str, dict[str, Any]] = {}
    output_key: str | None = None
    output_schema: dict[str, Any] | None = None
    max_concurrency: int = 0
    default_timeout_seconds: float = 60
    idempotent: bool = False
    can_cancel: bool = True
    can_attach: bool = False
