"""Executions as clients see them: StackStorm's document, secrets masked."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from whimbrel.broker.records import CONTENT_VERSIONS, ContentVersion
from whimbrel.errors import Corrupt
from whimbrel.model import COMPLETED, MASK, Action, Execution, RunnerType
from whimbrel.store import Store

WORKFLOW_RUNNERS = frozenset({"action-chain", "orquesta", "orchestra"})
VERSION_CACHE_LIMIT = 1024
VERSION_KEY_DIGITS = 32
DECODE_RESULT = msgspec.json.Decoder()


class Versions:
    """The action and runner documents that executions run with, stored once per version."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stored: dict[str, ContentVersion] = {}
        self._current: dict[str, tuple[Action, RunnerType, ContentVersion]] = {}

    def of(self, action: Action, runner: RunnerType) -> ContentVersion:
        """Return the version that these two make; cheap while they are the same objects."""
        known = self._current.get(action.ref)
        if known is not None and known[0] is action and known[1] is runner:
            return known[2]
        encoded = [msgspec.json.encode(action), msgspec.json.encode(runner)]
        key = hashlib.sha256(b"\0".join(encoded)).hexdigest()[:VERSION_KEY_DIGITS]
        documents = [msgspec.json.decode(document) for document in encoded]
        version = ContentVersion(key=key, action=documents[0], runner=documents[1])
        self._current[action.ref] = (action, runner, version)
        return version

    def current(self, action_ref: str) -> tuple[Action, RunnerType, ContentVersion] | None:
        """Return what `of` was last given for an action, with the version made of it."""
        return self._current.get(action_ref)

    def get(self, key: str) -> ContentVersion:
        """Return the documents of a stored version; a bounded cache over the store."""
        known = self._stored.get(key)
        if known is None:
            known = CONTENT_VERSIONS.get(self._store, key)
            if known is None:
                raise Corrupt(f"content version {key} is not in the store")
            self.stored(known)
        return known

    def is_stored(self, version: ContentVersion) -> bool:
        """Whether the version is known to be in the store."""
        return version.key in self._stored

    def stored(self, version: ContentVersion) -> None:
        """Say that the version is in the store; the oldest one leaves a full cache."""
        if len(self._stored) >= VERSION_CACHE_LIMIT:
            del self._stored[next(iter(self._stored))]
        self._stored[version.key] = version


def masked_parameters(
    parameters: Mapping[str, Any], *schemas: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the parameters with every one that a schema marks `secret` masked."""
    secret = {name for schema in schemas for name, spec in schema.items() if spec.get("secret")}
    return {
        name: MASK if name in secret and value is not None else value
        for name, value in parameters.items()
    }


def execution_document(
    execution: Execution, version: ContentVersion, *, show_secrets: bool = False
) -> dict[str, Any]:
    """Return the REST document; empty values are left out, as StackStorm does."""
    parameters = dict(execution.parameters)
    if not show_secrets:
        parameters = masked_parameters(
            parameters, version.runner.get("runner_parameters") or {}, version.action["parameters"]
        )
    document: dict[str, Any] = {
        "id": execution.id,
        "action": version.action,
        "runner": version.runner,
        "liveaction": _liveaction(execution, parameters),
        "status": execution.status.value,
        "start_timestamp": execution.start_timestamp,
        "end_timestamp": execution.end_timestamp,
        "elapsed_seconds": _elapsed_seconds(execution),
        "parameters": parameters,
        "context": execution.context,
        "log": msgspec.to_builtins(execution.log),
        "result": _result(execution),
        "result_size": execution.result_size,
        "parent": execution.parent,
        "children": list(execution.children),
        "rule": execution.rule,
        "trigger": execution.trigger,
        "trigger_type": execution.trigger_type,
        "trigger_instance": execution.trigger_instance,
        "delay": execution.delay,
    }
    return {name: value for name, value in document.items() if value or value in (0, False)}


def _liveaction(execution: Execution, parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": execution.liveaction_id,
        "action": execution.action_ref,
        "action_is_workflow": execution.runner_type in WORKFLOW_RUNNERS,
        "parameters": parameters,
        "callback": execution.callback or {},
        "runner_info": {},
        **({"notify": execution.notify} if execution.notify else {}),
    }


def _result(execution: Execution) -> Any:
    return DECODE_RESULT.decode(execution.result)


def _elapsed_seconds(execution: Execution) -> float | None:
    if execution.status not in COMPLETED or execution.end_timestamp is None:
        return None
    begun = datetime.fromisoformat(execution.start_timestamp)
    return (datetime.fromisoformat(execution.end_timestamp) - begun).total_seconds()


def summary(execution: Execution) -> dict[str, Any]:
    """Return what an announcement says of an execution: no parameters, no result, no secret."""
    return {
        "execution_id": execution.id,
        "action": execution.action_ref,
        "runner": execution.runner_type,
        "status": execution.status.value,
        "user": execution.context.get("user"),
        "start_timestamp": execution.start_timestamp,
        "end_timestamp": execution.end_timestamp,
        "parent": execution.parent,
        "rule": (execution.rule or {}).get("ref"),
        "trigger_instance": (execution.trigger_instance or {}).get("id"),
    }
