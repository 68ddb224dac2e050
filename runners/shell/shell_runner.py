"""The runners local-shell-cmd and local-shell-script: commands and pack scripts on this machine."""

import os
import pwd
import signal
import sys
from collections.abc import Mapping
from typing import Any

if __name__ == "__main__":
    # This program speaks over a unix socket alone. Without TLS, asyncio is 4 MiB lighter: a tenth of it.
    sys.modules["ssl"] = None  # type: ignore[assignment]  # how an import is refused

from shell_command import (
    DEFAULT_KWARG_OP,
    Account,
    Command,
    child_environment,
    inherited_environment,
    local_command,
    local_script,
    made_executable,
    script_arguments,
)
from shell_follow import OUTPUT_BYTES, Limits, ShellCommands
from shell_result import Ending, Stop, shell_result
from shell_spawn import Spawner
from whimbrel_sdk import FailureKind, Outcome, Plugin, Run, Status, serve

MAX_CONCURRENCY = 64
ACCOUNT_VARIABLE = "WHIMBREL_ACTION_USER"
MARKER_VARIABLE = "ST2_ACTION_EXECUTION_ID"
TOKEN_VARIABLE = "ST2_ACTION_AUTH_TOKEN"  # noqa: S105 - the name of a variable


class ShellRunner:
    """Both runners. `environment` is this process's own; children get it less the plugin's part."""

    def __init__(
        self, commands: ShellCommands, environment: Mapping[str, str], *, service_user: str
    ) -> None:
        self._commands = commands
        self._inherited = inherited_environment(environment)
        self._service_user = service_user
        self._user = environment.get(ACCOUNT_VARIABLE) or service_user

    async def run_command(self, run: Run) -> Outcome:
        """Run the parameter `cmd`."""
        return await self._run(run, self.command(run))

    async def run_script(self, run: Run) -> Outcome:
        """Run the action's script; its arguments are the action's own parameters."""
        return await self._run(run, self.script(run))

    def command(self, run: Run) -> Command:
        """Return what runs the parameter `cmd`."""
        return local_command(run.params.get("cmd") or "", self._account(run))

    def script(self, run: Run) -> Command:
        """Return what runs the action's script, made executable first if it is not."""
        kwarg_op = run.params.get("kwarg_op")
        arguments = script_arguments(
            run.action_schema,
            run.action_params,
            kwarg_op=DEFAULT_KWARG_OP if kwarg_op is None else kwarg_op,
        )
        command = local_script(run.entry_point, arguments, self._account(run))
        if os.access(run.entry_point, os.X_OK):
            return command
        return made_executable(command, run.entry_point)

    def _account(self, run: Run) -> Account:
        return Account(
            service_user=self._service_user,
            user=self._user,
            sudo=bool(run.params.get("sudo")),
            sudo_password=run.params.get("sudo_password"),
        )

    async def _run(self, run: Run, command: Command) -> Outcome:
        timeout_seconds = time_limit(run)
        marker = run.env.get(MARKER_VARIABLE)
        try:
            ending = await self._commands.run(
                command,
                self.environment(run),
                cwd=run.params.get("cwd"),
                timeout_seconds=timeout_seconds,
                cancelled=run.cancelled,
                sink=run,
                marker=f"{MARKER_VARIABLE}={marker}".encode() if marker else None,
            )
        except (OSError, ValueError) as error:
            reason = f"the command cannot be started: {error}"
            return Outcome.failed({"error": reason}, reason, FailureKind.INVALID_INPUT)
        result = shell_result(
            ending,
            timeout_seconds=timeout_seconds or 0,
            password_given=command.stdin is not None,
        )
        return outcome(ending, result)

    def environment(self, run: Run) -> dict[str, str]:
        """Return the environment of what the run starts, the run's token included."""
        action_variables = {**run.env, TOKEN_VARIABLE: run.token} if run.token else run.env
        return child_environment(
            self._inherited,
            user_variables=run.params.get("env"),
            action_variables=action_variables,
        )


def time_limit(run: Run) -> float | None:
    """Return the run's limit in seconds: the parameter's or the host's, the shorter; 0 is none."""
    ours, hosts = run.params.get("timeout"), run.timeout_seconds
    return min(ours, hosts) if ours and hosts else ours or hosts or None


def outcome(ending: Ending, result: dict[str, Any]) -> Outcome:
    """Return what the host is told."""
    match ending.stopped:
        case Stop.TIMEOUT:
            return Outcome.timed_out(result, result["error"])
        case Stop.CANCEL:
            return Outcome.canceled(result)
        case None if result["succeeded"]:
            return Outcome(status=Status.SUCCEEDED, result=result, message=_remark(ending))
        case None:
            return Outcome.failed(result, result.get("error") or _remark(ending))


def _remark(ending: Ending) -> str:
    """Return what the result itself does not tell."""
    if ending.return_code == -signal.SIGTERM:
        return "the command was ended by a SIGTERM that the runner did not send"
    if ending.truncated:
        return f"the output was cut to {OUTPUT_BYTES} bytes a stream"
    return ""


def account_name() -> str:
    """Return the name of the account that this process runs as, its number where it has none."""
    number = os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def build(environment: Mapping[str, str]) -> Plugin:
    """Return the plugin; children inherit from `environment`."""
    plugin = Plugin(name="shell", version="0.1.0")
    commands = ShellCommands(Spawner(), Limits())
    runner = ShellRunner(commands, environment, service_user=account_name())
    plugin.runner("local-shell-cmd", max_concurrency=MAX_CONCURRENCY)(runner.run_command)
    plugin.runner("local-shell-script", max_concurrency=MAX_CONCURRENCY)(runner.run_script)
    return plugin


if __name__ == "__main__":
    serve(build(os.environ))
