"""Documents as a server sends them."""

from typing import Any

EXECUTION_ID = "5f0000000000000000000001"
WORKFLOW_ID = "5f0000000000000000000002"

ACTION: dict[str, Any] = {
    "id": "1" * 24,
    "uid": "action:core:local",
    "ref": "core.local",
    "pack": "core",
    "name": "local",
    "description": "Runs a command.",
    "enabled": True,
    "entry_point": "",
    "runner_type": "local-shell-cmd",
    "parameters": {
        "cmd": {"type": "string", "required": True, "description": "Command.", "position": 0},
        "sudo": {"type": "boolean", "immutable": True, "default": False},
        "env": {"type": "object"},
    },
    "notify": {},
    "tags": [],
}
RUNNER: dict[str, Any] = {
    "id": "2" * 24,
    "name": "local-shell-cmd",
    "runner_parameters": {
        "timeout": {"type": "integer", "default": 60, "description": "Seconds."},
        "kind": {"type": "string", "enum": ["a", "b"]},
    },
}
EXECUTION: dict[str, Any] = {
    "id": EXECUTION_ID,
    "action": {"ref": "core.local", "runner_type": "local-shell-cmd"},
    "context": {"user": "ann"},
    "parameters": {"cmd": "echo hi", "password": "p"},
    "status": "succeeded",
    "start_timestamp": "2023-11-14T22:10:00.000000Z",
    "end_timestamp": "2023-11-14T22:10:02.500000Z",
    "log": [{"status": "requested", "timestamp": "2023-11-14T22:10:00.000000Z"}],
    "result": {"return_code": 0, "stdout": "hi\nthere", "stderr": "", "items": [1, {"a": None}]},
}
RUNNING: dict[str, Any] = {
    name: value for name, value in EXECUTION.items() if name not in {"end_timestamp", "result"}
} | {"status": "running"}
WORKFLOW: dict[str, Any] = {
    **EXECUTION,
    "id": WORKFLOW_ID,
    "action": {"ref": "examples.wf", "runner_type": "orquesta"},
    "parameters": {},
    "result": {"output": {"x": 1}},
}
CHILD: dict[str, Any] = {
    **EXECUTION,
    "id": "5f0000000000000000000003",
    "parent": WORKFLOW_ID,
    "context": {"user": "ann", "orquesta": {"task_name": "first"}},
}
KEY: dict[str, Any] = {
    "name": "k",
    "value": "v",
    "scope": "st2kv.system",
    "secret": False,
    "encrypted": False,
}
RULE: dict[str, Any] = {
    "id": "3" * 24,
    "uid": "rule:default:r",
    "ref": "default.r",
    "pack": "default",
    "name": "r",
    "description": "A rule.",
    "enabled": True,
    "trigger": {"type": "core.st2.webhook", "ref": "core.x", "parameters": {"url": "u"}},
    "action": {"ref": "core.noop", "parameters": {}},
}
TRACE: dict[str, Any] = {
    "id": "7" * 24,
    "uid": "u",
    "trace_tag": "tag",
    "start_timestamp": "2023-11-14T22:10:00.000000Z",
    "trigger_instances": [
        {"object_id": "ti1", "ref": "core.x", "updated_at": "2023-11-14T22:10:00Z"},
        {"object_id": "ti2", "ref": "core.x", "updated_at": "2023-11-14T22:10:01Z"},
    ],
    "rules": [
        {
            "object_id": "ru",
            "ref": "default.r",
            "updated_at": "2023-11-14T22:10:02Z",
            "caused_by": {"type": "trigger_instance", "id": "ti1"},
        }
    ],
    "action_executions": [
        {"object_id": "ex", "ref": "core.local", "updated_at": "2023-11-14T22:10:03Z"}
    ],
}
