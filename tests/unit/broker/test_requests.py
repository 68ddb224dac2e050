"""What a runner gets of an execution."""

from typing import Any

import msgspec
import pytest
from whimbrel import errors
from whimbrel.model import ExecutionRequest

from tests.unit.broker.application import ADMIN, Application, drive


async def requested(app: Application, **parameters: Any) -> Any:
    """Request a run of `core.local`, which waits at the gate."""
    app.host.gate.clear()
    wanted = ExecutionRequest(action="core.local", parameters=parameters)
    return await app.executions.request(wanted, caller=ADMIN)


def test_a_run_has_complete_parameters_and_the_surroundings_of_its_execution() -> None:
    """Defaults are filled in, timeout and environment follow, and the token is the run's own."""

    async def scenario(app: Application) -> None:
        execution = await requested(app, cmd="date", timeout=7)
        run = app.requests.run_request(execution)

        assert ("date", False, 7) == tuple(
            run.runner_parameters[name] for name in ("cmd", "sudo", "timeout")
        )
        assert 7.0 == run.timeout_seconds
        assert execution.id == run.env["ST2_ACTION_EXECUTION_ID"]
        assert "core" == run.env["ST2_ACTION_PACK_NAME"]
        assert run.token not in run.env.values()
        assert execution.id == app.identity.authenticate(token=run.token).execution_id
        assert execution.context["trace_context"]["id_"] == run.trace_id

    drive(scenario)


def test_the_token_of_a_run_ends_with_it() -> None:
    """After the run its token is worth nothing."""

    async def scenario(app: Application) -> None:
        execution = await requested(app, cmd="date")
        token = app.requests.run_request(execution).token
        app.requests.run_ended(execution.id)

        with pytest.raises(errors.Unauthenticated):
            app.identity.authenticate(token=token)

    drive(scenario)


def test_a_run_keeps_the_action_that_it_was_requested_with() -> None:
    """An action that changed after the request does not change the run."""

    async def scenario(app: Application) -> None:
        document = {
            "name": "mine",
            "pack": "default",
            "runner_type": "local-shell-cmd",
            "entry_point": "",
            "enabled": True,
            "parameters": {"word": {"type": "string", "default": "before"}},
        }
        await app.content.create("action", document)
        app.host.gate.clear()
        wanted = ExecutionRequest(action="default.mine", parameters={})
        execution = await app.executions.request(wanted, caller=ADMIN)
        changed = {**document, "parameters": {"word": {"type": "string", "default": "after"}}}
        await app.content.update("action", "default.mine", changed)

        assert "before" == app.requests.run_request(execution).action_parameters["word"]

    drive(scenario)


def test_parameters_that_no_longer_resolve_are_refused() -> None:
    """A stored parameter of the wrong type is named when the run is made."""

    async def scenario(app: Application) -> None:
        execution = await requested(app, cmd="date")
        broken = msgspec.structs.replace(execution, parameters={"cmd": "date", "timeout": "soon"})
        with pytest.raises(errors.InvalidInput, match="soon"):
            app.requests.run_request(broken)

    drive(scenario)
