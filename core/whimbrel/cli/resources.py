"""List, get, create, update, delete, enable and disable: the same for every kind of object."""

from collections.abc import Mapping, Sequence
from typing import Any

from whimbrel.cli import files, render
from whimbrel.cli.api import Query, segment
from whimbrel.cli.command import Command, Resource
from whimbrel.cli.failures import CommandFailed, OperationFailed, Refused, Silent
from whimbrel.cli.shell import Invocation


def show_list(invocation: Invocation) -> int:
    """List the command's resource, filtered by the flags that carry a query."""
    return list_with(invocation, resource_of(invocation).columns)


def show_rules(invocation: Invocation) -> int:
    """List rules, with `--iftt` by trigger and action."""
    columns = resource_of(invocation).columns
    if invocation.switch("iftt"):
        columns = ("ref", "trigger.ref", "action.ref", "enabled")
    extra: dict[str, bool] = {}
    for key, value in (("enabled", True), ("disabled", False)):
        if invocation.switch(key):
            extra["enabled"] = value
    return list_with(invocation, columns, extra)


def list_with(invocation: Invocation, columns: Sequence[str], extra: Query | None = None) -> int:
    """List the command's resource with these columns, and query parameters besides the flags'."""
    resource = resource_of(invocation)
    query = {**query_of(invocation), **(extra or {})}
    shown = invocation.texts("attr") or list(columns)
    if resource.trimmed and "all" not in shown:
        query["include_attributes"] = ",".join(shown)
    if invocation.values.get("detail"):
        columns = ("all",)
    answer = invocation.api.get(f"/{resource.path}", query)
    documents = [_presented(resource, document) for document in answer.document()]
    if resource.newest_first:
        documents.reverse()
    render.show_list(invocation, documents, columns)
    limit = invocation.number("last")
    if limit is not None and len(documents) == limit:
        render.show_more(invocation.shell, limit, answer.total, resource.plural)
    return 0


def show(invocation: Invocation) -> int:
    """Show the named objects one after another."""
    resource = resource_of(invocation)
    names = invocation.texts(_positional(invocation.command))
    query = query_of(invocation)
    for name in names:
        document = find(invocation, name, query)
        if document is not None:
            render.show_one(invocation, document, resource.details)
        elif len(names) == 1:
            raise Silent(1)
    return 0


def create(invocation: Invocation) -> int:
    """Create what a file describes, and show it."""
    document = files.mapping(invocation.text("file"))
    try:
        answer = invocation.api.send("POST", f"/{resource_of(invocation).path}", document)
    except Refused as error:
        raise OperationFailed(str(error)) from error
    render.show_one(invocation, answer.document(), resource_of(invocation).details)
    return 0


def update(invocation: Invocation) -> int:
    """Replace an object by what a file describes; its id stays."""
    document = files.mapping(invocation.text("file"))
    name = invocation.text(_positional(invocation.command))
    found = required(invocation, name)
    if document.setdefault("id", found["id"]) != found["id"]:
        raise CommandFailed(
            f"the file's id {document['id']!r} is not that of {name}: {found['id']}"
        )
    return _put(invocation, document)


def enable(invocation: Invocation) -> int:
    """Enable an object."""
    return _switch(invocation, enabled=True)


def disable(invocation: Invocation) -> int:
    """Disable an object."""
    return _switch(invocation, enabled=False)


def delete(invocation: Invocation) -> int:
    """Delete an object; one that is not there is an error."""
    name = invocation.text(_positional(invocation.command))
    if not _delete(invocation, name, None):
        raise Silent(2)
    return 0


def delete_action(invocation: Invocation) -> int:
    """Delete an action, with `-r` its files as well; one that is not there is no error."""
    name = invocation.text("ref_or_id")
    _delete(invocation, name, {"remove_files": invocation.switch("remove_files")})
    return 0


def clone_action(invocation: Invocation) -> int:
    """Copy an action; replacing one that is there needs `--force` or a yes."""
    source = invocation.text("source_ref_or_id")
    pack, name = invocation.text("dest_pack_name"), invocation.text("dest_action_name")
    force = invocation.switch("force")
    if find(invocation, source) is None:
        raise Silent(1)
    if not force and _exists(invocation, f"{pack}.{name}"):
        force = _agreed(invocation, f"The action {pack}.{name} exists already. Replace it? (y/n) ")
        if not force:
            invocation.shell.say("Action is not cloned.")
            return 0
    body = {"dest_pack": pack, "dest_action": name, "overwrite": force}
    try:
        answer = invocation.api.send("POST", f"/actions/{segment(source)}/clone", body)
    except Refused as error:
        raise OperationFailed(str(error)) from error
    render.show_one(invocation, answer.document(), resource_of(invocation).details)
    return 0


# ------------------------------------------------------------------ what other commands need too
def resource_of(invocation: Invocation) -> Resource:
    """Return the resource of the command."""
    resource = invocation.command.resource
    assert resource is not None, f"{invocation.command.name} has no resource"
    return resource


def query_of(invocation: Invocation) -> dict[str, str | int | bool | None]:
    """Return the query parameters that the command's flags carry; switches only when given."""
    found: dict[str, str | int | bool | None] = {}
    for argument in invocation.command.arguments:
        if argument.query and invocation.values.get(argument.key):
            found[argument.query] = invocation.values[argument.key]
    return found


def find(invocation: Invocation, name: str, query: Query | None = None) -> dict[str, Any] | None:
    """Return the named object; None, after a message that names it, when it is not there."""
    resource = resource_of(invocation)
    try:
        found: dict[str, Any] = invocation.api.get(_location(resource, name), query).document()
    except Refused as error:
        if error.status != 404:
            raise
        missing(invocation, name)
        return None
    return found


def required(invocation: Invocation, name: str) -> dict[str, Any]:
    """Return the named object; raises CommandFailed when it is not there."""
    resource = resource_of(invocation)
    try:
        found: dict[str, Any] = invocation.api.get(_location(resource, name)).document()
    except Refused as error:
        if error.status != 404:
            raise
        message = f'Resource with id or reference "{name}" doesn\'t exist.'
        raise CommandFailed(message) from error
    return found


def missing(invocation: Invocation, name: str) -> None:
    """Say that the named object is not there."""
    invocation.shell.output.flush()
    invocation.shell.note(f'{resource_of(invocation).title} "{name}" is not found.')


# ------------------------------------------------------------------ inner parts
def _location(resource: Resource, name: str) -> str:
    # The name of a webhook is itself a path.
    quoted = (
        "/".join(map(segment, name.split("/"))) if resource.path == "webhooks" else segment(name)
    )
    return f"/{resource.path}/{quoted}"


def _positional(command: Command) -> str:
    return next(a.key for a in command.arguments if not a.is_option and a.names != ("file",))


def _presented(resource: Resource, document: dict[str, Any]) -> Mapping[str, Any]:
    """Return the document with what a list shows under another name."""
    if resource.path == "webhooks":
        return {**document, "url": render.lookup(document, "parameters.url")}
    return document


def _exists(invocation: Invocation, ref: str) -> bool:
    try:
        invocation.api.get(f"/actions/{segment(ref)}")
    except Refused as error:
        if error.status != 404:
            raise
        return False
    return True


def _agreed(invocation: Invocation, question: str) -> bool:
    shell = invocation.shell
    shell.output.write(question)
    shell.output.flush()
    return shell.input.readline().strip().lower() in {"y", "yes"}


def _delete(invocation: Invocation, name: str, body: object) -> bool:
    path = _location(resource_of(invocation), name)
    query = query_of(invocation)
    try:
        if body is None:
            invocation.api.delete(path, query)
        else:
            invocation.api.send("DELETE", path, body, query=query)
    except Refused as error:
        if error.status == 401:
            raise
        if error.status != 404:
            raise OperationFailed(str(error)) from error
        missing(invocation, name)
        return False
    invocation.shell.say(f'Resource with id "{name}" has been successfully deleted.')
    return True


def _switch(invocation: Invocation, *, enabled: bool) -> int:
    found = required(invocation, invocation.text(_positional(invocation.command)))
    found.pop("ref", None)
    return _put(invocation, {**found, "enabled": enabled})


def _put(invocation: Invocation, document: Mapping[str, Any]) -> int:
    resource = resource_of(invocation)
    try:
        answer = invocation.api.send(
            "PUT", f"/{resource.path}/{segment(str(document['id']))}", document
        )
    except Refused as error:
        raise OperationFailed(str(error)) from error
    render.show_one(invocation, answer.document(), resource.details)
    return 0


__all__ = [
    "clone_action",
    "create",
    "delete",
    "delete_action",
    "disable",
    "enable",
    "find",
    "list_with",
    "missing",
    "query_of",
    "required",
    "resource_of",
    "show",
    "show_list",
    "show_rules",
    "update",
]
