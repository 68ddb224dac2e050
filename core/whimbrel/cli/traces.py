"""Traces: which events, rules and executions belong together."""

from collections.abc import Mapping
from typing import Any

from whimbrel.cli import render, resources
from whimbrel.cli.failures import Silent
from whimbrel.cli.shell import Invocation

ATTRIBUTES = ("id", "trace_tag", "start_timestamp")
COLUMNS = ("id", "type", "ref", "updated_at")
MEMBERS = (
    ("trigger_instances", "trigger-instance", "show_trigger_instances", "trigger_instance"),
    ("rules", "rule", "show_rules", "rule"),
    ("action_executions", "execution", "show_executions", "execution"),
)


def show_list(invocation: Invocation) -> int:
    """List traces; when there is one alone, show it."""
    resource = resources.resource_of(invocation)
    order = "sort_asc" if invocation.text("sort") == "asc" else "sort_desc"
    query = {**resources.query_of(invocation), order: True}
    answer = invocation.api.get(f"/{resource.path}", query)
    found = answer.document()
    if len(found) == 1 and not invocation.texts("attr"):
        _show(invocation, found[0])
    else:
        render.show_list(invocation, found, resource.columns)
    if len(found) == invocation.number("last"):
        render.show_more(invocation.shell, len(found), answer.total, resource.plural)
    return 0


def get(invocation: Invocation) -> int:
    """Show traces one after another."""
    names = invocation.texts("id")
    for name in names:
        found = resources.find(invocation, name)
        if found is not None:
            _show(invocation, found)
        elif len(names) == 1:
            raise Silent(1)
    return 0


def _show(invocation: Invocation, trace: Mapping[str, Any]) -> None:
    members = _members(invocation, trace)
    if invocation.format:
        kept = {name: members[name] for name, *_ in MEMBERS if name in members}
        rest = {name: value for name, value in trace.items() if name not in dict.fromkeys(kept)}
        render.show_one(invocation, {**rest, **kept}, (*ATTRIBUTES, *kept))
        return
    render.show_text(invocation, trace, ATTRIBUTES)
    rows = [
        [str(item.get("object_id")), kind, str(item.get("ref")), str(item.get("updated_at"))]
        for name, kind, *_ in MEMBERS
        for item in members.get(name, ())
    ]
    if rows:
        render.write_table(invocation.shell, COLUMNS, rows)


def _members(invocation: Invocation, trace: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the members that the flags ask for; all of them when no flag does."""
    is_list = invocation.command.path[1] == "list"
    asked = [name for name, _, flag, _ in MEMBERS if invocation.switch(flag)]
    found: dict[str, list[Any]] = {}
    for name, _, _, key in MEMBERS:
        if asked and name not in asked:
            continue
        items = list(trace.get(name) or ())
        wanted = "" if is_list else invocation.text(key)
        if wanted:
            items = [item for item in items if wanted in {item.get("object_id"), item.get("ref")}]
        found[name] = items
    if invocation.switch("hide_noop_triggers") and "trigger_instances" in found:
        causes = {_cause(item) for item in trace.get("rules") or ()}
        kept = [item for item in found["trigger_instances"] if item.get("object_id") in causes]
        found["trigger_instances"] = kept
    return found


def _cause(item: Mapping[str, Any]) -> str:
    return str((item.get("caused_by") or {}).get("id", "")).rpartition(":")[2]


__all__ = ["get", "show_list"]
