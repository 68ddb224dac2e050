"""Executions as callers use them: request, run again, find, cancel."""

from typing import Any

import msgspec
import pytest
from whimbrel import errors
from whimbrel.broker.records import TRACES
from whimbrel.model import MASK, Caller, Execution, ExecutionRequest, OutputChunk, Status

from tests.unit.broker.application import ADMIN, Application, drive

GUEST = Caller(user="guest", method="authentication token", is_admin=False)


def local(cmd: str = "date", **fields: Any) -> ExecutionRequest:
    """Return a request for `core.local`."""
    return ExecutionRequest(action="core.local", parameters={"cmd": cmd}, **fields)


async def request(app: Application, cmd: str = "date", **fields: Any) -> Execution:
    """Request a run of `core.local`."""
    return await app.executions.request(local(cmd, **fields), caller=ADMIN)


def test_a_request_is_durable_scheduled_and_traced() -> None:
    """A request answers with an execution that is in the store, has a slot and a trace."""

    async def scenario(app: Application) -> None:
        execution = await request(app)

        assert ["content_version", "execution", "outbox", "trace"] == app.store.tables_of(0)
        assert "admin" == execution.context["user"]
        trace_id = execution.context["trace_context"]["id_"]
        trace = TRACES.get(app.store, trace_id)
        assert trace is not None
        assert [execution.id] == [link.object_id for link in trace.action_executions]
        assert Status.SUCCEEDED == (await app.ended(execution.id)).status

    drive(scenario)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (ExecutionRequest(action="no.where"), r"no\.where"),
        (ExecutionRequest(action="core.local", parameters={"kmd": "x"}), "kmd"),
        (ExecutionRequest(action="core.local", parameters={}), "cmd"),
        (local(cmd=["x"]), "string"),  # type: ignore[arg-type]  # a wrong type is the point
        (
            ExecutionRequest(action="core.local_sudo", parameters={"cmd": "x", "sudo": False}),
            "sudo",
        ),
        (local("{{ st2kv.system.a | no_such_filter }}"), "no_such_filter"),
        (local("{{ nowhere }}"), "nowhere"),
    ],
)
def test_a_bad_request_is_refused_and_leaves_nothing(wanted: ExecutionRequest, said: str) -> None:
    """An unknown action and parameters that do not fit are refused by name; nothing is written."""

    async def scenario(app: Application) -> None:
        with pytest.raises(errors.InvalidInput, match=said):
            await app.executions.request(wanted, caller=ADMIN)

        assert [] == app.store.commits
        assert [] == app.host.requests

    drive(scenario)


@pytest.mark.parametrize(
    "context",
    [
        {"trace_context": "text"},
        {"trace_context": {"id_": 7}},
        {"trace_context": {"trace_tag": ["x"]}},
        {"parent": "text"},
        {"parent": {"execution_id": 7}},
    ],
)
def test_a_context_of_the_wrong_shape_is_refused(context: dict[str, Any]) -> None:
    """What callers say of trace and parent is checked, and the place is named."""

    async def scenario(app: Application) -> None:
        with pytest.raises(errors.InvalidInput, match=r"/context/(trace_context|parent)"):
            await request(app, context=context)

        assert [] == app.store.commits

    drive(scenario)


def test_the_value_of_a_secret_parameter_is_not_told() -> None:
    """A refusal of a secret parameter names the parameter alone."""

    async def scenario(app: Application) -> None:
        parameters = {"cmd": "date", "sudo_password": {"deep": "canary"}}
        wanted = ExecutionRequest(action="core.local", parameters=parameters)
        with pytest.raises(errors.InvalidInput, match="sudo_password") as caught:
            await app.executions.request(wanted, caller=ADMIN)

        assert "canary" not in str(caught.value)

    drive(scenario)


def test_only_admins_run_as_others() -> None:
    """Naming another user needs an admin."""

    async def scenario(app: Application) -> None:
        with pytest.raises(errors.PermissionDenied, match=r"guest.*other"):
            await app.executions.request(local(user="other"), caller=GUEST)
        execution = await request(app, user="other")
        assert "other" == execution.context["user"]

    drive(scenario)


def test_a_run_again_keeps_parameters_and_trace() -> None:
    """The second run has the first one's parameters, changed ones replaced, and its trace."""

    async def scenario(app: Application) -> None:
        former = await request(app, "one")
        await app.ended(former.id)
        again = await app.executions.rerun(former.id, parameters={"env": {"A": "1"}}, caller=ADMIN)

        assert {"cmd": "one", "env": {"A": "1"}} == again.parameters
        assert {"ref": former.id} == again.context["re-run"]
        assert former.context["trace_context"] == again.context["trace_context"]

    drive(scenario)


def test_tasks_of_what_is_no_workflow_cannot_run_again() -> None:
    """Asking for tasks names the action that has none."""

    async def scenario(app: Application) -> None:
        former = await request(app)
        with pytest.raises(errors.InvalidInput, match=r"core\.local.* is not one"):
            await app.executions.rerun(former.id, parameters={}, tasks=["t"], caller=ADMIN)

    drive(scenario)


def test_filters_find_what_they_say() -> None:
    """Each filter selects alone and with others; pages and totals agree."""

    async def scenario(app: Application) -> None:
        await app.add_rule()
        ids = []
        for cmd in ("a", "b", "c"):
            app.clock.advance(1)
            ids.append((await request(app, cmd)).id)
        ingested = await app.events.webhook("hook", body={"n": 1}, headers={})
        (from_rule,) = ingested.execution_ids
        for execution_id in (*ids, from_rule):
            await app.ended(execution_id)
        find = app.executions.find

        assert (ids[::-1][:2], 3) == _ids(find(user="admin", limit=2))
        assert (ids[:2], 3) == _ids(find(user="admin", limit=2, ascending=True))
        assert (ids[::-1][2:], 3) == _ids(find(user="admin", limit=2, offset=2))
        assert ([from_rule], 1) == _ids(find(rule="default.r"))
        assert ([from_rule], 1) == _ids(find(trigger_instance=ingested.trigger_instance_id))
        assert ([from_rule], 1) == _ids(find(trigger_type="core.st2.webhook"))
        assert ([from_rule], 1) == _ids(find(user="stanley", status="succeeded"))
        assert ([], 0) == _ids(find(user="stanley", status="failed"))
        assert 4 == find(parent="null", limit=-1)[1]
        assert 4 == find(runner="local-shell-cmd", limit=-1)[1]
        assert ([], 0) == _ids(find(action="no.where"))
        assert ([ids[2]], 1) == _ids(find(user="admin", timestamp_gt="2026-01-31T09:30:02.500000Z"))
        liveaction = app.executions.get(ids[0]).liveaction_id
        assert ([ids[0]], 1) == _ids(find(liveaction=liveaction))
        assert ([ids[1]], 1) == _ids(find(ids=[ids[1], "f" * 24]))

    drive(scenario)


def _ids(found: tuple[list[Execution], int]) -> tuple[list[str], int]:
    return [e.id for e in found[0]], found[1]


def test_last_is_the_newest() -> None:
    """`last` names the newest execution; without one it is not found."""

    async def scenario(app: Application) -> None:
        with pytest.raises(errors.NotFound):
            app.executions.get("last")
        await request(app)
        newest = await request(app)

        assert newest.id == app.executions.get("last").id

    drive(scenario)


def test_cancel_conflicts_with_what_has_ended() -> None:
    """A running execution is canceled once, a canceled one stays so, an ended one conflicts."""

    async def scenario(app: Application) -> None:
        ended = await request(app)
        await app.ended(ended.id)
        with pytest.raises(errors.Conflict, match="State = succeeded"):
            await app.executions.cancel(ended.id, user="boss")

        app.host.gate.clear()
        running = await request(app)
        await app.until(lambda: len(app.host.requests) == 2)
        first = await app.executions.cancel(running.id, user="boss")
        again = await app.executions.cancel(running.id, user="boss")
        assert {Status.CANCELING} >= {first.status, again.status} - {Status.CANCELED}
        canceled = await app.ended(running.id)
        assert Status.CANCELED == canceled.status
        assert canceled.id == (await app.executions.cancel(running.id, user="boss")).id

    drive(scenario)


def test_states_that_cannot_be_asked_for_are_refused() -> None:
    """Pausing needs a workflow, other states are named with what is allowed."""

    async def scenario(app: Application) -> None:
        app.host.gate.clear()
        running = await request(app)
        with pytest.raises(errors.InvalidInput, match="only workflows"):
            await app.executions.set_status(running.id, "pausing", caller=ADMIN)
        with pytest.raises(errors.InvalidInput, match="Allowed: canceling"):
            await app.executions.set_status(running.id, "succeeded", caller=ADMIN)
        app.host.gate.set()
        await app.ended(running.id)
        with pytest.raises(errors.InvalidInput, match="already in completed state"):
            await app.executions.set_status(running.id, "canceling", caller=ADMIN)

    drive(scenario)


def test_a_delayed_execution_waits_for_its_time() -> None:
    """A delay is kept as `delayed` until it is over, and can be canceled before."""

    async def scenario(app: Application) -> None:
        execution = await request(app, delay=60_000)
        assert [Status.REQUESTED, Status.DELAYED] == [e.status for e in execution.log]
        await app.executions.cancel(execution.id, user="boss")
        assert Status.CANCELED == app.executions.get(execution.id).status
        assert [] == app.host.requests

    drive(scenario)


@pytest.mark.parametrize("delay", [-1, 10**15])
def test_a_delay_out_of_range_is_refused(delay: int) -> None:
    """A delay before now, or one that no clock holds, is refused and not stored."""

    async def scenario(app: Application) -> None:
        with pytest.raises(errors.InvalidInput, match="/delay"):
            await request(app, delay=delay)
        assert [] == app.store.commits

    drive(scenario)


def test_secrets_are_masked_unless_asked_for() -> None:
    """The document of an execution shows a secret parameter only to who asks for secrets."""

    async def scenario(app: Application) -> None:
        parameters = {"cmd": "date", "sudo_password": "canary"}
        wanted = ExecutionRequest(action="core.local", parameters=parameters)
        execution = await app.executions.request(wanted, caller=ADMIN)

        shown = app.executions.document(execution)
        assert MASK == shown["parameters"]["sudo_password"]
        assert b"canary" not in msgspec.json.encode(shown)
        secret = app.executions.document(execution, show_secrets=True)
        assert "canary" == secret["parameters"]["sudo_password"]
        await app.ended(execution.id)
        assert "canary" == app.host.requests[0].runner_parameters["sudo_password"]

    drive(scenario)


def test_a_flood_of_small_pieces_of_output_is_kept_whole() -> None:
    """More pieces of output than one commit takes are stored, and the run ends with its result."""

    async def scenario(app: Application) -> None:
        app.host.output = tuple(
            OutputChunk(channel=("stdout", "stderr")[n % 2], data=b"%d\n" % n, offset=n)
            for n in range(3000)
        )
        execution = await request(app)
        ended = await app.ended(execution.id)

        assert Status.SUCCEEDED == ended.status
        printed = "".join(o.data for o in app.executions.output(execution.id, channel="stdout"))
        assert "".join(f"{n}\n" for n in range(0, 3000, 2)) == printed

    drive(scenario)
