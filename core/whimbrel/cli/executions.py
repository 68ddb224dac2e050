"""Executions: list them, show them, stop them, hold them."""

from collections.abc import Mapping
from typing import Any

from whimbrel.cli import render, resources
from whimbrel.cli.api import Query, segment
from whimbrel.cli.failures import CommandFailed, OperationFailed, Refused, Silent
from whimbrel.cli.shell import Invocation

WORKFLOW_RUNNERS = {"orquesta", "action-chain"}
ATTRIBUTES = (
    *("id", "action.ref", "context.user", "parameters", "status", "start_timestamp"),
    *("end_timestamp", "log", "result"),
)
# What must be known to show anything: whether it is a workflow, and how long it took.
NEEDED = ("action.ref", "action.runner_type", "start_timestamp", "end_timestamp", "log")
TASK_COLUMNS = ("id", "status", "task", "action", "start_timestamp")


def show_list(invocation: Invocation) -> int:
    """List executions, the newest at the end; tasks of workflows only when asked for."""
    ascending = invocation.text("sort") == "asc"
    extra: dict[str, str | int | bool | None] = {"sort_asc" if ascending else "sort_desc": True}
    if not invocation.switch("showall"):
        extra["parent"] = "null"
    return resources.list_with(invocation, resources.resource_of(invocation).columns, extra)


def get(invocation: Invocation) -> int:
    """Show executions one after another."""
    names = invocation.texts("id")
    query: dict[str, str | int | bool | None] = {}
    chosen = invocation.texts("attr")
    if "all" in chosen:
        pass
    elif invocation.switch("exclude_result") and not chosen:
        query["exclude_attributes"] = "result"
    else:
        wanted = dict.fromkeys((*NEEDED, *(chosen or ATTRIBUTES)))
        query["include_attributes"] = ",".join(wanted)
    for name in names:
        found = resources.find(invocation, name, query)
        if found is not None:
            show(invocation, found)
        elif len(names) == 1:
            raise Silent(1)
    return 0


def cancel(invocation: Invocation) -> int:
    """Stop executions; one that cannot be stopped is told, and the others are stopped all the same."""
    for name in invocation.texts("ids"):
        try:
            found = invocation.api.delete(f"/executions/{segment(name)}").document()
        except Refused as error:
            if error.status != 404:
                raise
            invocation.shell.say(error.message)
            continue
        # StackStorm says that it could not in an answer that is no error.
        refusal = found.get("faultstring") if isinstance(found, dict) else None
        invocation.shell.say(refusal or f"action execution with id {name} canceled.")
    return 0


def pause(invocation: Invocation) -> int:
    """Hold workflows."""
    return _request(invocation, "pausing")


def resume(invocation: Invocation) -> int:
    """Let held workflows go on."""
    return _request(invocation, "resuming")


def _request(invocation: Invocation, status: str) -> int:
    for name in invocation.texts("ids"):
        try:
            answer = invocation.api.send("PUT", f"/executions/{segment(name)}", {"status": status})
        except Refused as error:
            raise OperationFailed(str(error)) from error
        show(invocation, answer.document(), with_log=False)
    return 0


def show(invocation: Invocation, execution: Mapping[str, Any], *, with_log: bool = True) -> None:
    """Print an execution as its display flags say; a workflow with its tasks."""
    runner = render.lookup(execution, "action.runner_type")
    workflow = runner in WORKFLOW_RUNNERS
    if invocation.switch("show_tasks") and not workflow:
        raise CommandFailed("--show-tasks option can only be used with workflow actions")
    key = invocation.text("key")
    if key:
        _show_key(invocation, execution, key)
        return
    chosen = tuple(invocation.texts("attr"))
    left_out = set() if with_log else {"log"}
    if invocation.switch("exclude_result"):
        left_out.add("result")
    attributes = chosen or tuple(name for name in ATTRIBUTES if name not in left_out)
    if invocation.format or invocation.switch("detail"):
        render.show_one(invocation, execution, attributes)
    else:
        render.show_text(invocation, execution, attributes)
    if (
        workflow
        and not invocation.switch("raw")
        and (not chosen or invocation.switch("show_tasks"))
    ):
        _show_tasks(invocation, str(execution["id"]))


def _show_key(invocation: Invocation, execution: Mapping[str, Any], key: str) -> None:
    value = render.lookup(execution.get("result") or {}, key)
    if isinstance(value, str):
        invocation.shell.say(value)
    elif value is not None:
        render.show_json(invocation.shell, value)
    else:
        invocation.shell.say("None")


def _show_tasks(invocation: Invocation, identifier: str) -> None:
    query: Query = {"depth": invocation.number("depth") if invocation.given("depth") else -1}
    found = invocation.api.get(f"/executions/{segment(identifier)}/children", query).document()
    if not found:
        return
    tasks = [_task(invocation, child) for child in found]
    if invocation.format == "json":
        render.show_json(invocation.shell, tasks)
        return
    zone = invocation.target.timezone
    for task in tasks:
        task["start_timestamp"] = render.moment(task["start_timestamp"], zone)
    rows = [[task[name] for name in TASK_COLUMNS] for task in tasks]
    widths: list[int] = invocation.values.get("width") or []
    render.write_table(invocation.shell, TASK_COLUMNS, rows, widths)


def _task(invocation: Invocation, child: Mapping[str, Any]) -> dict[str, str]:
    return {
        "id": str(child["id"]),
        "status": render.elapsed(child, invocation.shell.now()),
        "task": task_name(child),
        "action": str(render.lookup(child, "action.ref") or ""),
        "start_timestamp": str(child.get("start_timestamp") or ""),
    }


def task_name(execution: Mapping[str, Any]) -> str:
    """Return the name of the workflow's task that an execution is; empty when it is none."""
    for place in ("context.orquesta.task_name", "context.chain.name"):
        name = render.lookup(execution, place)
        if name:
            return str(name)
    return ""


__all__ = ["cancel", "get", "pause", "resume", "show", "show_list", "task_name"]
