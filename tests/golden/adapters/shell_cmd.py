"""Command lines of the local runners, built by the shell plugin's own program."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml
from whimbrel_sdk import Run

PLUGIN = Path(__file__).parents[3] / "runners" / "shell"
# A plugin's program is found beside its manifest, as its process finds it.
sys.path.append(str(PLUGIN))

from shell_command import (  # noqa: E402 - the path comes first
    DEFAULT_KWARG_OP,
    Account,
    Command,
    ScriptArguments,
    local_command,
    local_script,
    quote_unix,
    quote_windows,
    script_arguments,
)
from shell_follow import Limits, ShellCommands  # noqa: E402
from shell_runner import ACCOUNT_VARIABLE, ShellRunner, time_limit  # noqa: E402
from shell_spawn import Spawner  # noqa: E402

SERVICE_USER = "stanley"
SCRIPT = "/s.sh"
FIXED_VARIABLES = {
    "ST2_ACTION_PACK_NAME": "p",
    "ST2_ACTION_EXECUTION_ID": "ex-id",
    "ST2_ACTION_DEBUG": "False",
}


class OtherRunnerError(Exception):
    """A kind of vector that belongs to a runner which is not part of the project."""

    category = "not_implemented"


def run(given: dict[str, Any]) -> dict[str, Any]:
    """Build the command line of one vector."""
    match given["kind"]:
        case "quote":
            value = given["value"]
            return {"unix": quote_unix(value), "windows": quote_windows(value)}
        case "local_command":
            return _texts(local_command(given["command"], _account(given)))
        case "local_script":
            arguments = ScriptArguments(
                named=given.get("named_args") or {}, positional=given.get("positional_args") or []
            )
            return _texts(local_script(given["script"], arguments, _account(given)))
        case "script_args":
            return _script_arguments(given)
        case "local_runner":
            return _local_runner(given)
        case kind:
            raise OtherRunnerError(f"{kind}: there is no remote runner")


def _texts(command: Command) -> dict[str, Any]:
    return {"command": command.text, "logged_command": command.logged}


def _account(given: dict[str, Any]) -> Account:
    return Account(
        service_user=given.get("service_user", SERVICE_USER),
        user=given.get("user"),
        sudo=bool(given.get("sudo")),
        sudo_password=given.get("sudo_password"),
    )


def _script_arguments(given: dict[str, Any]) -> dict[str, Any]:
    arguments = script_arguments(
        given["action_parameters"],
        given["params"],
        kwarg_op=given.get("kwarg_op", DEFAULT_KWARG_OP),
    )
    return {
        "positional_args": arguments.positional,
        "named_args": arguments.named or None,
        "command": local_script(SCRIPT, arguments, _account({})).text,
    }


def _local_runner(given: dict[str, Any]) -> dict[str, Any]:
    entry_point = given.get("entry_point", "")
    name = "local-shell-script" if entry_point else "local-shell-cmd"
    request = Run(
        id="la-id",
        runner=name,
        params_json=msgspec.json.encode(_defaults(name) | given["runner_parameters"]),
        action_params_json=msgspec.json.encode(given.get("params") or {}),
        action_schema_json=msgspec.json.encode(given.get("action_parameters") or {}),
        entry_point=entry_point,
        env=FIXED_VARIABLES,
        token="TOKEN",
    )
    spawner = Spawner()
    runner = ShellRunner(
        ShellCommands(spawner, Limits()),
        {ACCOUNT_VARIABLE: given.get("system_user", SERVICE_USER)},
        service_user=given.get("service_user", SERVICE_USER),
    )
    spawner.close()
    command = runner.script(request) if entry_point else runner.command(request)
    return {
        "command": command.text,
        "cwd": request.params.get("cwd"),
        "timeout": time_limit(request) or 0,
        "env": runner.environment(request),
        "password_on_stdin": command.stdin is not None,
    }


def _defaults(runner: str) -> dict[str, Any]:
    """Return the defaults that the plugin's manifest declares."""
    manifest = yaml.safe_load((PLUGIN / "plugin.yaml").read_text())
    declared = next(entry for entry in manifest["runners"] if entry["name"] == runner)
    return {
        name: schema["default"]
        for name, schema in declared["parameters"].items()
        if "default" in schema
    }
